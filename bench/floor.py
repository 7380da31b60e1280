"""What lies below every engine: Python's start, SQLite, and the kernel's part of a container (floor.c).

They are typed like an engine's commands and measured in between, since the machine's mood is in them, too.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import namespaces
from bench.cgroups import ROOT, hierarchies
from bench.clock import once, say
from bench.contenders import Contender
from bench.results import FLOOR

_SOURCE = Path(__file__).with_name("floor.c")
_SELECT = "import sqlite3; sqlite3.connect({path!r}).execute('select name from containers').fetchall()"


def prepare(work: Path, minirun: str, image: Path | None) -> Iterator[Contender]:
    yield _python(work, Path(minirun).with_name("python"))
    gcc = shutil.which("gcc") or shutil.which("cc")
    if not gcc:
        say("the floor is left out: no C compiler")
    elif image:
        yield from _kernel(work, gcc, image)


def _python(work: Path, beside: Path) -> Contender:
    """minirun's own interpreter."""
    path = str(work / "one.db")
    with sqlite3.connect(path) as made:
        made.execute("create table containers (name text primary key)")
        made.execute("insert into containers values ('web')")
    made.close()
    words = {"python": ("-I", "-c", "pass"), "sqlite": ("-I", "-c", _SELECT.format(path=path))}
    return Contender(FLOOR, (str(beside) if beside.exists() else "python3",), namespaces.make(), words=words)


def _kernel(work: Path, gcc: str, image: Path) -> Iterator[Contender]:
    """Static if the C library's archive is there: a loader is no part of the floor."""
    program, host = work / "floor", namespaces.make()
    for linking in ("-static", "-dynamic"):
        _, error = once([gcc, "-O2", linking, "-o", str(program), str(_SOURCE)])
        if error is None:
            break
    else:
        say(f"the floor is left out: {error}")
        return
    with namespaces.within(host):
        made = subprocess.run(
            "ip link add floor0 up type bridge && ip address add 10.213.0.1/24 dev floor0", shell=True
        )
    groups = [str(place) for place in _groups()]
    words = {"floor-none": (str(work), str(image), "-", *groups)}
    if made.returncode == 0:
        words["floor-bridge"] = (str(work), str(image), "floor0", *groups)
    yield Contender(FLOOR, (str(program),), host, words=words)


def _groups() -> Iterator[Path]:
    """v2, and on v1 the one that limits the number of processes: where minirun makes a container's groups."""
    for one in hierarchies():
        if one.kind == "cgroup2" or one.place == ROOT / "pids":
            yield one.place
