"""On the machine: start the bench in namespaces of its own, and take back the little that they cannot."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from bench import cgroups
from bench.measure import ROWS

REPO = Path(__file__).resolve().parents[1]
# mount(8) and the engines must see nothing of the caller's: DOCKER_HOST or PYTHONDONTWRITEBYTECODE change the numbers.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START = "import sys; sys.path.insert(0, sys.argv[1]); from bench.inside import main; main(*sys.argv[2:])"


def main() -> NoReturn:
    options = _parse()
    if os.geteuid():
        sys.exit("bench: must be run as root")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    work = Path(tempfile.mkdtemp(prefix="minirun-bench-"))
    made: list[Path] = []
    try:
        made = cgroups.make(work.name)
        text = _run(work, made, options)
    finally:
        left = cgroups.remove(made)
        work.rmdir()
        if left:
            print("bench: could not remove", *left, file=sys.stderr)
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    sys.exit(0 if text else 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--rounds", type=_rounds, default=21, help="how often each is measured (default 21)")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table there, too")
    parser.add_argument("--only", type=_rows, default=list(ROWS), metavar="ROW,...", help=f"some of {','.join(ROWS)}")
    return parser.parse_args()


def _rounds(text: str) -> int:
    if (number := int(text)) < 2:
        raise argparse.ArgumentTypeError("a percentile needs two rounds or more")
    return number


def _rows(text: str) -> list[str]:
    wanted = text.split(",")
    if unknown := [name for name in wanted if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in wanted]


def _run(work: Path, made: list[Path], options: argparse.Namespace) -> str:
    """Everything the engines start dies with the first process of the pid namespace, and that with unshare(1)."""
    minirun = os.environ.get("MINIRUN_BIN", str(REPO / ".venv" / "bin" / "minirun"))
    inner = [sys.executable, "-I", "-c", _START, str(REPO)]
    inner += [str(work), minirun, str(options.rounds), ",".join(options.only)]
    child = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", *inner],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={"PATH": PATH, "HOME": str(work / "home"), "TMPDIR": str(work), "LANG": "C.UTF-8"},
        start_new_session=True,  # a Ctrl-C is for this process, which then ends that one as a whole
        preexec_fn=lambda: cgroups.enter(made),
    )
    try:
        text, _ = child.communicate()
    finally:
        child.kill()
        child.wait()
    return text


def _leave(number: int, _frame: Any) -> NoReturn:
    sys.exit(128 + number)
