"""SHA-256 of what is written, on its way to somewhere or to nowhere."""

import hashlib
from typing import BinaryIO


class Digest:
    def __init__(self, onward: BinaryIO | None = None) -> None:
        self._onward = onward
        self._sum = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self._sum.update(data)
        if self._onward is not None:
            self._onward.write(data)
        return len(data)

    def hexadecimal(self) -> str:
        return self._sum.hexdigest()
