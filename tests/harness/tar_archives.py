"""Tar archives for tests, entry by entry, also such as no honest program writes."""

import io
import tarfile


def tar_of(*entries: tuple[str, str, str]) -> bytes:
    """(name, type, content or target)."""
    kinds = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, what in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid = kinds[kind], 0o755, 77
            info.linkname = what if kind in ("link", "hard") else ""
            data = what.encode() if kind == "file" else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
