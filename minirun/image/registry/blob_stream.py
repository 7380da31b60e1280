"""The bytes of a blob as they come, over as many requests as that takes."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from minirun.image.manifests import Descriptor
from minirun.image.registry.errors import CancelledError, RegistryError, UnreachableError, unreachable
from minirun.image.registry.session import TRIES, Session, backoff, expect, pause
from minirun.image.registry.transport import FAILURES, Response

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 256 << 10
_PROGRESS = 1 << 20  # bytes after which the tries are counted anew
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class BlobStream(io.RawIOBase):
    """The raw bytes of a blob from `start` on. A download that is cut off goes on where it was (RFC 9110, section 14).

    The stream ends after exactly the descriptor's size, or raises RegistryError. It does not check the digest.

    session, fallback: where the blob is read, and where when that fails in the midst of it
    skipped: bytes that came again and were thrown away, because the server does not honour ranges
    """

    def __init__(
        self, session: Session, fallback: Session, path: str, scopes: tuple[str, ...], blob: Descriptor, start: int
    ) -> None:
        super().__init__()
        self.skipped = 0
        self._session, self._fallback, self._path, self._scopes, self._blob = session, fallback, path, scopes, blob
        self._position = start
        self._failures, self._failed_at = 0, start
        self._ranges = True
        self._response: Response | None = None
        self._has_begun = False  # until then the caller chooses another server
        if start < blob.size:
            self._keep_on(self._open)
        self._has_begun = True

    def readable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in the blob."""
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read into a buffer; 0 at the end."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes, all for a negative size; b"" at the end."""
        if size < 0:
            return self.readall()
        wanted = min(size, self._blob.size - self._position)
        if wanted <= 0:
            return b""
        data = self._keep_on(lambda: self._receive(wanted))
        self._position += len(data)
        return data

    def close(self) -> None:
        """End the download."""
        self._drop()
        super().close()

    def _keep_on(self, step: Callable[[], bytes]) -> bytes:
        """Do a step, and do it again on a new connection when the old one fails."""
        while True:
            try:
                return step()
            except FAILURES as error:
                failure: RegistryError = unreachable("Get", self._session.absolute(self._path, "/"), error)
            except RegistryError as error:
                if not self._has_begun:
                    raise
                failure = error
            self._drop()
            if self._session.transport.cancelled.is_set():
                raise CancelledError("cancelled")
            self._count(failure)

    def _count(self, failure: RegistryError) -> None:
        """Wait before the next try, at the registry itself where a mirror is of no more use. Raise if there is none."""
        if self._position >= self._failed_at + _PROGRESS:
            self._failures = 0
        self._failures, self._failed_at = self._failures + 1, self._position
        # Requests are tried again by themselves. What is tried again here: a cut, and a server that starts anew.
        is_final = self._failures >= TRIES or not isinstance(failure, UnreachableError)
        if is_final and self._session is not self._fallback:
            self._session, self._failures, is_final = self._fallback, 0, False
        if is_final:
            done = f"after {self._position} of {self._blob.size} bytes"
            message = f"the download of {self._blob.digest} was cut off {done}: {failure.message}"
            raise RegistryError(message, failure.hint, failure.status, failure.word)
        pause(self._session.transport.cancelled, backoff(max(0, self._failures - 1)))

    def _receive(self, amount: int) -> bytes:
        if self._response is None:
            self._open()
        assert self._response is not None
        data = self._response.raw.read(amount, decode_content=False)
        if not data:
            raise CutOffError("unexpected EOF")
        if self._position + len(data) == self._blob.size:
            self._finish(self._response)
        return data

    def _finish(self, response: Response) -> None:
        """The last byte has come: there must be none after it."""
        if response.raw.read(1, decode_content=False):
            self._drop()
            raise self._wrong_size("more")
        self._session.transport.forget(response.raw)
        response.raw.release_conn()
        self._response = None

    def _wrong_size(self, size: object) -> RegistryError:
        return RegistryError(
            f"the registry has {size} bytes for {self._blob.digest}; its manifest says {self._blob.size}",
            "the image is damaged there",
        )

    def _open(self) -> bytes:
        """Begin a download at the position. Returns nothing yet."""
        headers = {"Range": f"bytes={self._position}-"} if self._position and self._ranges else {}
        response = self._session.send("GET", self._path, self._scopes, headers)
        if headers and response.status == 416:
            response.discard()
            self._ranges = False
            return self._open()
        expect(response, (200, 206) if headers else (200,))
        self._session.transport.watch(response.raw)
        self._response = response
        came_from = self._check_size(response)
        self._skip(response, self._position - came_from)
        return b""

    def _check_size(self, response: Response) -> int:
        """Compare the size with the manifest's, and return at which byte the answer begins."""
        begin, total = 0, response.header("Content-Length")
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.header("Content-Range").strip())
            begin, total = (int(match.group(1)), match.group(2)) if match else (-1, "")
            if begin != self._position:
                self._drop()
                self._ranges = False
                raise CutOffError("the server sent another range than it was asked for")
        if total.isdigit() and int(total) != self._blob.size:
            self._drop()
            raise self._wrong_size(total)
        return begin

    def _skip(self, response: Response, amount: int) -> None:
        while amount > 0:
            data = response.raw.read(min(amount, _CHUNK), decode_content=False)
            if not data:
                raise CutOffError("unexpected EOF")
            amount -= len(data)
            self.skipped += len(data)

    def _drop(self) -> None:
        if self._response is not None:
            self._session.transport.forget(self._response.raw)
            self._response.raw.close()
            self._response = None


class CutOffError(OSError):
    """The download ended early."""
