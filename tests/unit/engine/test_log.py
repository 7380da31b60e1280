"""The files of a log: rotation, followers, and what is kept."""

import os
from multiprocessing import Pipe, Process
from pathlib import Path
from typing import Any

import pytest

from minirun.engine.log import LogReader, LogWriter
from minirun.engine.log import parse as parse_log


def test_rotation_keeps_files_whole_and_a_follower_misses_nothing(tmp_path: Any) -> None:
    writer = LogWriter(str(tmp_path / "log"), most=1000, files=4)
    reader = LogReader(tmp_path / "log")
    seen = b""
    for number in range(500):
        writer.write("stdout", b"line %d\n" % number)
        if number % 7 == 0:
            seen += b"".join(entry.data for entry in reader.entries())
    seen += b"".join(entry.data for entry in reader.entries())
    assert seen == b"".join(b"line %d\n" % number for number in range(500))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    reader.close()
    writer.close()
    again = LogReader(tmp_path / "log")
    kept = b"".join(entry.data for entry in again.entries())
    again.close()
    assert seen.endswith(kept)
    assert len(kept) > 300


def _read_all(path: Path) -> list[bytes]:
    reader = LogReader(path)
    try:
        return [entry.data for entry in reader.entries()]
    finally:
        reader.close()


def _write(connection: Any, path: str, count: int) -> None:
    """Never more than one file ahead of the reader, so that nothing it has not seen is deleted."""
    writer = LogWriter(path, most=2000, files=3)
    seen = 0
    for number in range(count):
        writer.write("stdout", b"%d\n" % number)
        while number - seen > 60:
            seen = connection.recv()
    writer.close()


def test_a_follower_sees_every_line_once_in_order_across_fast_rotation(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    count = 20_000
    process = Process(target=_write, args=(theirs, str(tmp_path / "log"), count))
    process.start()
    reader, seen = LogReader(tmp_path / "log"), 0
    while seen < count:
        for entry in reader.entries():
            assert entry.data == b"%d\n" % seen
            seen += 1
        ours.send(seen)
    process.join(10)
    assert process.exitcode == 0
    reader.close()


@pytest.mark.parametrize("files", [1, 2, 4])
def test_a_look_in_the_middle_of_a_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    """Readers, new ones and old ones, look before and after each rename."""
    readers = [LogReader(tmp_path / "log") for _ in range(8)]
    seen: list[list[bytes]] = [[] for _ in readers]
    turns = 0

    def look() -> None:
        nonlocal turns
        turns += 1
        kept = _read_all(tmp_path / "log")
        assert kept == lines[len(lines) - len(kept) :]
        at = turns % len(readers)
        seen[at] += [entry.data for entry in readers[at].entries()]

    def rename(source: str, target: str) -> None:
        look()
        real(source, target)
        look()

    real = os.rename
    monkeypatch.setattr(os, "rename", rename)
    writer = LogWriter(str(tmp_path / "log"), most=500, files=files)
    lines: list[bytes] = []
    for number in range(400):
        writer.write("stdout", b"%d\n" % number)
        lines.append(b"%d\n" % number)
        look()
    writer.close()
    for at, reader in enumerate(readers):
        seen[at] += [entry.data for entry in reader.entries()]
        reader.close()
        numbers = [int(line) for line in seen[at]]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 399
        if files == 4:
            assert numbers == list(range(400))


def test_one_read_is_split_where_the_file_is_full(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"), most=2000, files=3)
    data = b"".join(b"line %d\n" % number for number in range(3000))
    writer.write("stdout", data[:20_000])
    writer.write("stdout", data[20_000:])
    writer.close()
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert len(sizes) == 3
    assert all(2000 <= size < 2000 + 60 for size in sizes[1:])
    kept = b"".join(_read_all(tmp_path / "log"))
    assert data.endswith(kept)
    assert len(kept) > 600


def test_a_log_line_keeps_its_bytes() -> None:
    entry = parse_log(b"2026-01-01T00:00:00.000000000Z stderr F \xff a b ")
    assert (entry.stream, entry.data) == ("stderr", b"\xff a b \n")
