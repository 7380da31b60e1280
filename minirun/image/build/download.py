"""ADD of a URL: the file is downloaded anew at each build; the cache knows it by its content.

https://docs.docker.com/reference/dockerfile/#adding-files-from-a-url
"""

import hashlib
import posixpath
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from minirun.archive.compression import CHUNK
from minirun.config import load
from minirun.errors import MinirunError
from minirun.image.build.transfer import Download
from minirun.image.registry.errors import unreachable
from minirun.image.registry.transport import FAILURES, Request, Response, Transport


def download(url: str, file: Path, checksum: str, is_renamed: bool) -> Download:
    """Download `url` to `file`. Return the name that it has there, and when it was modified.

    checksum: the digest that it must have, such as sha256:..., "" for any
    is_renamed: the destination is a file name, so that the URL need not hold one
    MinirunError when the server does not answer, when it has no such file, and for another digest.
    """
    response = Transport(load()).follow(Request("GET", url))
    if not 200 <= response.status < 300:
        response.discard()
        raise MinirunError(f"failed to load {url}: the server answers with status {response.status}")
    name = posixpath.basename(unquote(urlsplit(url).path))
    if not name and not is_renamed:
        raise MinirunError(f"cannot determine filename for source {url}", "name the file in the destination")
    algorithm, _, wanted = checksum.partition(":")
    digest = hashlib.new(algorithm or "sha256")
    _receive(response, file, digest)
    if checksum and digest.hexdigest() != wanted:
        raise MinirunError(f"digest mismatch {algorithm}:{digest.hexdigest()}: {checksum}")
    return Download(name or "file", file, _modified(response))


def _receive(response: Response, file: Path, digest: "hashlib._Hash") -> None:
    try:
        with file.open("wb") as target:
            while data := response.raw.read(CHUNK, decode_content=False):
                digest.update(data)
                target.write(data)
    except FAILURES as error:
        raise unreachable("Get", response.url, error) from None
    finally:
        response.raw.close()


def _modified(response: Response) -> int:
    with suppress(ValueError, OverflowError):
        return max(0, int(parsedate_to_datetime(response.header("Last-Modified")).timestamp()))
    return int(time.time())
