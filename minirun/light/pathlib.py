"""Paths of files with pathlib's names and meaning, on Linux, and in as far as minirun uses them.

pathlib brings patterns, URLs and the paths of other systems along: 3 ms, and the `re` that they need. One of these
equals one of pathlib's that is written alike, and either may be given where the other is expected.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
else:
    import os
    import stat
    from collections.abc import Iterator

    class Path(os.PathLike):
        __slots__ = ("_text",)

        def __init__(self, *pieces: "str | os.PathLike[str]") -> None:
            text = os.path.join(*pieces) if pieces else ""
            self._text = _tidy(text if isinstance(text, str) else os.fspath(text))

        def __fspath__(self) -> str:
            return self._text

        __str__ = __fspath__

        def __repr__(self) -> str:
            return f"Path({self._text!r})"

        def __bytes__(self) -> bytes:
            return os.fsencode(self._text)

        def __hash__(self) -> int:
            return hash(self._text)

        def __eq__(self, other: object) -> bool:
            return self._text == os.fspath(other) if isinstance(other, os.PathLike) else NotImplemented

        def __lt__(self, other: "Path") -> bool:
            return self.parts < Path(other).parts if isinstance(other, os.PathLike) else NotImplemented

        def __truediv__(self, piece: "str | os.PathLike[str]") -> "Path":
            return Path(self._text, piece)

        # --- what it is made of

        @property
        def parts(self) -> tuple[str, ...]:
            names = [name for name in self._text.split("/") if name not in ("", ".")]
            return (root, *names) if (root := _root(self._text)) else tuple(names)

        @property
        def name(self) -> str:
            return "" if self._text == "." else self._text.rpartition("/")[2]

        @property
        def suffix(self) -> str:
            stem, dot, last = self.name.rpartition(".")
            return dot + last if stem and last else ""

        @property
        def parent(self) -> "Path":
            before = self._text.rpartition("/")[0]
            return Path(before if before.strip("/") else _root(self._text) or ".")

        def with_name(self, name: str) -> "Path":
            if not self.name or name in ("", ".") or "/" in name:
                raise ValueError(f"{self} cannot have the name {name!r}")
            return self.parent / name

        def is_absolute(self) -> bool:
            return self._text.startswith("/")

        def is_relative_to(self, other: "str | os.PathLike[str]") -> bool:
            above = Path(other)
            return _root(self._text) == _root(above._text) and self.parts[: len(above.parts)] == above.parts

        def absolute(self) -> "Path":
            return self if self.is_absolute() else Path(os.getcwd(), self._text)

        # --- what is there

        def stat(self) -> os.stat_result:
            return os.stat(self._text)

        def lstat(self) -> os.stat_result:
            return os.lstat(self._text)

        def exists(self) -> bool:
            return self._mode() is not None

        def is_dir(self) -> bool:
            return stat.S_ISDIR(self._mode() or 0)

        def _mode(self) -> int | None:
            """None when there is nothing, as pathlib has it: what may not be looked at is an error."""
            try:
                return os.stat(self._text).st_mode
            except OSError as error:
                if error.errno not in _NOTHING:
                    raise
            except ValueError:  # a zero byte
                pass
            return None

        def readlink(self) -> "Path":
            return Path(os.readlink(self._text))

        def iterdir(self) -> "Iterator[Path]":
            return (self / name for name in os.listdir(self._text))

        def read_bytes(self) -> bytes:
            with open(self._text, "rb", 0) as file:
                return file.read()

        def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            with open(self._text, encoding=encoding, errors=errors) as file:
                return file.read()

        # --- what is done to it

        def open(self, mode: str = "r", *words: object, **named: object) -> object:
            return open(self._text, mode, *words, **named)

        def write_bytes(self, data: bytes) -> int:
            with open(self._text, "wb") as file:
                return file.write(data)

        def write_text(self, text: str, encoding: str | None = None) -> int:
            with open(self._text, "w", encoding=encoding) as file:
                return file.write(text)

        def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
            try:
                os.mkdir(self._text, mode)
            except FileNotFoundError:
                if not parents or self.parent == self:
                    raise
                self.parent.mkdir(parents=True, exist_ok=True)
                self.mkdir(mode, False, exist_ok)
            except OSError:
                if not exist_ok or not self.is_dir():
                    raise

        def symlink_to(self, target: "str | os.PathLike[str]") -> None:
            os.symlink(target, self._text)

        def rename(self, target: "str | os.PathLike[str]") -> "Path":
            os.rename(self._text, target)
            return Path(target)

        def replace(self, target: "str | os.PathLike[str]") -> "Path":
            os.replace(self._text, target)
            return Path(target)

        def chmod(self, mode: int) -> None:
            os.chmod(self._text, mode)

        def unlink(self, missing_ok: bool = False) -> None:
            try:
                os.unlink(self._text)
            except FileNotFoundError:
                if not missing_ok:
                    raise

        def rmdir(self) -> None:
            os.rmdir(self._text)

    _NOTHING = (2, 9, 20, 40)  # ENOENT, EBADF, ENOTDIR, ELOOP

    def _tidy(text: str) -> str:
        """Without empty and `.` pieces. `..` stays: what it leads to is for the kernel to say."""
        if "/." not in text and "//" not in text and text[:1] != "." and text[-1:] != "/" and text:
            return text
        pieces = [piece for piece in text.split("/") if piece not in ("", ".")]
        return _root(text) + "/".join(pieces) or "."

    def _root(text: str) -> str:
        """POSIX lets two slashes, and no more, stand for something of their own."""
        if text[:2] == "//" and text[2:3] != "/":
            return "//"
        return text[:1] if text[:1] == "/" else ""


__all__ = ["Path"]
