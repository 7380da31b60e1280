"""ADD of archives: they become directories."""

import bz2
import gzip
import io
import tarfile

from tests.integration.image.build_corpus.case import CAPABILITY, MTIME, Case, File


def _entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644, size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, size
    info.uid, info.gid, info.mtime = 12, 34, MTIME + 5
    return info


def _archive(*entries: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return made.getvalue()


_PLAIN = _archive(
    _entry("top", tarfile.DIRTYPE, mode=0o750),
    _entry("top/file", mode=0o640, size=3),
    _entry("top/setuid", mode=0o4755, size=1),
    _entry("top/link", tarfile.SYMTYPE, "file"),
    _entry("top/hard", tarfile.LNKTYPE, "top/file", mode=0o640),
    _entry("top/fifo", tarfile.FIFOTYPE),
    _entry("without/parent/file", size=2),
)

_CHOWN = "the classic builder does not apply --chown to the files of an archive"

_CAPABLE = _entry("capable", size=1)
_CAPABLE.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY.decode()}

CASES = [
    Case(
        "file-capabilities",
        "FROM busybox AS a\nADD a.tar /tree\nRUN cp /tree/capable /tree/copied; mv /tree/capable /tree/moved\n"
        "FROM busybox\nCOPY --from=a /tree /tree\nCOPY --from=a /tree/moved /alone",
        files={"a.tar": File(_archive(_CAPABLE))},
        differs={
            f"/alone xattrs: () | (('security.capability', {CAPABILITY.decode()!r}),)": "the classic builder loses it"
            " when it copies one file alone"
        },
    ),
    Case(
        "add-archives",
        r"""
        FROM busybox
        ADD plain.tar /plain
        ADD packed.tar.gz /gz/
        ADD packed.tar.bz2 /bz2/deep/er
        ADD oddly-named /odd
        """,
        files={
            "plain.tar": File(_PLAIN),
            "packed.tar.gz": File(gzip.compress(_PLAIN, mtime=0)),
            "packed.tar.bz2": File(bz2.compress(_PLAIN)),
            "oddly-named": File(gzip.compress(_PLAIN, mtime=0)),
        },
    ),
    Case(
        "what-is-not-unpacked",
        "FROM busybox\nCOPY a.tar /copied/\nADD plain.gz text.tar no-bytes.tar no-entries.tar /added/\nADD . /all/",
        files={
            "a.tar": File(_PLAIN),
            "plain.gz": File(gzip.compress(b"text", mtime=0)),
            "text.tar": "no archive",
            "no-bytes.tar": "",
            "no-entries.tar": File(bytes(10240)),
        },
    ),
    Case(
        "add-archive-with-chown",
        "FROM busybox\nADD --chown=1:2 a.tar /a/",
        files={"a.tar": File(_PLAIN)},
        differs={"/a/ owner: 0:0 | 1:2": _CHOWN}
        | {
            f"/a/{path} owner: 12:34 | 1:2": _CHOWN
            for path in ("top/", "top/fifo", "top/file", "top/hard", "top/link", "top/setuid", "without/parent/file")
        },
    ),
    Case(
        "add-archive-over-files",
        "FROM busybox\nRUN mkdir -p /a/top/file/deep /a/real; ln -s real /a/linked; echo old > /a/plain\nADD a.tar /a",
        files={
            "a.tar": File(
                _archive(
                    _entry("plain", size=2),
                    _entry("linked/below", size=1),
                    _entry("real", tarfile.DIRTYPE, mode=0o700),
                    _entry("./dotted/x", size=1),
                )
            )
        },
    ),
    Case(
        "add-archive-that-replaces-types",
        "FROM busybox\nRUN mkdir -p /a/dir/deep; ln -s dir /a/link; echo old > /a/file\nADD a.tar /a",
        files={
            "a.tar": File(
                _archive(
                    _entry("file", tarfile.DIRTYPE, mode=0o755),
                    _entry("file/below", size=1),
                    _entry("link", size=2),
                )
            )
        },
    ),
    Case(
        "add-several-by-glob",
        "FROM busybox\nADD *.tar c /all/",
        files={"a.tar": File(_PLAIN), "b.tar": "no archive", "c": "1"},
    ),
]
