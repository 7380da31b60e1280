"""On the machine: start the bench in namespaces of its own, and take back the little that they cannot."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from bench import cgroups, plot, pytest_suites, report
from bench.results import Results, from_json
from bench.rows import GROUPS, ROWS, chosen

REPO = Path(__file__).resolve().parents[1]
# mount(8) and the engines must see nothing of the caller's: DOCKER_HOST or PYTHONDONTWRITEBYTECODE change the numbers.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START = "import sys; sys.path.insert(0, sys.argv[1]); from bench.inside import main; main(*sys.argv[2:])"


def main() -> NoReturn:
    options = _parse()
    text = options.read.read_text() if options.read else _measured(options)
    if not text:
        sys.exit(1)
    _write(from_json(text), options)
    sys.exit(0)


def _measured(options: argparse.Namespace) -> str:
    if os.geteuid():
        sys.exit("bench: must be run as root")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    work = Path(tempfile.mkdtemp(prefix="minirun-bench-"))
    made: list[Path] = []
    try:
        made = cgroups.make(work.name)
        return _run(work, made, options)
    finally:
        left = cgroups.remove(made)
        work.rmdir()
        if left:
            print("bench: could not remove", *left, file=sys.stderr)


def _write(results: Results, options: argparse.Namespace) -> None:
    table = report.text(results)
    print(table, end="")
    if options.out:
        options.out.write_text(table)
    if options.json:
        options.json.write_text(results.to_json() + "\n")
    if options.plot:
        options.plot.write_text(plot.svg(results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--rounds", type=_rounds, help="how often each is measured (default 21; with --quick 5)")
    parser.add_argument("--quick", action="store_true", help="few rounds, and without what takes minutes")
    parser.add_argument("--only", type=_rows, metavar="ROW,...", help=f"groups ({', '.join(GROUPS)}) or rows of them")
    parser.add_argument(
        "--thousand",
        type=lambda text: text.split(","),
        default=["minirun"],
        metavar="ENGINE,...",
        help="which engines start 1000 containers (default minirun; docker takes ten minutes)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the tables there, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single number there")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw them")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: use the numbers of an older --json")
    options = parser.parse_args()
    options.rounds = options.rounds or (5 if options.quick else 21)
    options.only = options.only or [
        row for group in GROUPS.values() for row in group.rows if not (options.quick and group.long)
    ]
    return options


def _rounds(text: str) -> int:
    if (number := int(text)) < 2:
        raise argparse.ArgumentTypeError("a percentile needs two rounds or more")
    return number


def _rows(text: str) -> list[str]:
    try:
        return chosen(text.split(","))
    except KeyError as unknown:
        raise argparse.ArgumentTypeError(f"no such row: {unknown.args[0]}; there are {', '.join(ROWS)}") from None


def _run(work: Path, made: list[Path], options: argparse.Namespace) -> str:
    """Everything the engines start dies with the first process of the pid namespace, and that with unshare(1)."""
    minirun = os.environ.get("MINIRUN_BIN", str(REPO / ".venv" / "bin" / "minirun"))
    if set(options.only) & set(GROUPS["testing"].rows):
        pytest_suites.prepare(minirun)
    asked = {"rounds": options.rounds, "rows": options.only, "thousand": options.thousand}
    inner = [sys.executable, "-I", "-c", _START, str(REPO), str(work), minirun, json.dumps(asked)]
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
