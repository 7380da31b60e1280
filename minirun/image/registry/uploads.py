"""Sending a blob to a registry: mounted from another repository where that works, else in one request.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlencode, urlsplit, urlunsplit

from minirun.image.manifests import Descriptor
from minirun.image.registry.errors import RegistryError, UnreachableError
from minirun.image.registry.session import LONGEST_DELAY, TRIES, Session, backoff, expect, pause, refused, retry_delay
from minirun.image.registry.transport import Response

OpenAt = Callable[[int], IO[bytes]]  # opens a blob at a byte
_BINARY = {"Content-Type": "application/octet-stream"}
_AGAIN = (404, 408, 416, 429, 500, 502, 503, 504)  # 404, 416: the registry has lost the upload, or its place in it
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


@dataclass(frozen=True)
class Upload:
    """A blob on its way to a repository; `path` is that of the repository's uploads."""

    session: Session
    path: str
    scopes: tuple[str, ...]
    blob: Descriptor
    open_at: OpenAt

    def mount(self, repository: str, scopes: tuple[str, ...]) -> str:
        """Ask for the blob of another repository. Returns "" if that worked, else where to send the blob."""
        query = urlencode({"mount": self.blob.digest, "from": repository})
        response = self.session.send("POST", f"{self.path}?{query}", scopes)
        if response.status == 201:
            response.discard()
            return ""
        if response.status == 202:
            return self._location(response)
        response.discard()  # some registries refuse what they could ignore
        return self.begin()

    def begin(self) -> str:
        """Begin an upload. Returns where to send the blob."""
        return self._location(expect(self.session.send("POST", self.path, self.scopes), (202,)))

    def send(self, location: str) -> None:
        """Send the blob, the rest of it after a failure if the registry kept the start. RegistryError if that fails."""
        sent = 0
        for attempt in range(TRIES):
            try:
                response = self._put(location, sent)
                if response.status in (201, 204):
                    response.discard()
                    return
                delay, error = retry_delay(response, attempt), refused(response)
                if response.status not in _AGAIN or delay > LONGEST_DELAY:
                    raise error
            except UnreachableError as failure:
                delay, error = backoff(attempt), failure
            if attempt == TRIES - 1:
                raise error
            pause(self.session.transport.cancelled, delay)
            location, sent = self._where_it_was(location)
        raise AssertionError("the last try returns or raises")

    def _put(self, location: str, sent: int) -> Response:
        """Everything in one PUT, or the rest with PATCH and then an empty PUT."""
        url = self._with_digest(location)
        rest = self.blob.size - sent
        if not sent:
            return self._stream("PUT", url, 0, rest, _BINARY)
        if rest:
            place = {**_BINARY, "Content-Range": f"{sent}-{self.blob.size - 1}"}
            response = self._stream("PATCH", location, sent, rest, place)
            if response.status != 202:
                return response
            url = self._with_digest(self._location(response))
        return self.session.send("PUT", url, self.scopes, _BINARY)

    def _stream(self, method: str, url: str, start: int, length: int, headers: dict[str, str]) -> Response:
        return self.session.send(method, url, self.scopes, headers, lambda: self.open_at(start), length, tries=1)

    def _where_it_was(self, location: str) -> tuple[str, int]:
        """Ask how much of the blob has come. Returns (where to go on, bytes); of a new upload if it does not say."""
        try:
            response = self.session.send("GET", location, self.scopes, tries=1)
            match = _RANGE.fullmatch(response.header("Range"))
            sent = int(match.group(1)) + 1 if match and response.status == 204 else 0
            if 0 < sent <= self.blob.size:
                return self._location(response), sent
            response.discard()
        except RegistryError:
            pass
        return self.begin(), 0

    def _location(self, response: Response) -> str:
        location = response.header("Location")
        url = response.url
        response.discard()
        if not location:
            raise RegistryError(f"{url} does not say where to send the blob: its answer has no Location")
        return self.session.absolute(location, urlsplit(url).path)

    def _with_digest(self, location: str) -> str:
        parts = urlsplit(location)
        query = "&".join(filter(None, (parts.query, urlencode({"digest": self.blob.digest}))))
        return urlunsplit(parts._replace(query=query))
