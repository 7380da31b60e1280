"""What the tests of images have in common: short forms of commands, and archives."""

import io
import json
import tarfile
from typing import Any

from tests.harness import Host

LAYERS = "/var/lib/minirun/layers"


def inspect(host: Host, name: str) -> dict[str, Any]:
    return dict(json.loads(host.minirun("image", "inspect", name).stdout)[0])


def run(host: Host, *words: str, **kwargs: Any) -> Any:
    return host.minirun("run", "--rm", "--net=none", *words, **kwargs)


def refused(host: Host, *words: str, **kwargs: Any) -> str:
    done = host.minirun(*words, check=False, **kwargs)
    assert done.returncode, done.stdout
    return str(done.stderr)


def archive(*entries: tarfile.TarInfo | tuple[str, str]) -> bytes:
    """(name, content) is a file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for entry in entries:
            info, content = (entry, "") if isinstance(entry, tarfile.TarInfo) else (tarfile.TarInfo(entry[0]), entry[1])
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return made.getvalue()


def special(name: str, kind: bytes, link: str = "", **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, headers
    return info


def import_(host: Host, data: bytes, *words: str) -> Any:
    return host.minirun("import", "-", *words, input=data, text=False, check=False)
