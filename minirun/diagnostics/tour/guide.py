"""Going through a chapter: say what will happen, do it, show what came of it.

Each chapter has a throwaway host of its own. What it makes is gone when it ends, however it ends.
"""

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from minirun.diagnostics.tour.chapters_reader import Chapter, Commands, Prose
from minirun.kernel import throwaway
from minirun.kernel.mounts import NODEV, Root, filesystem_mount
from minirun.kernel.programs import program_run

_SECONDS = 60.0  # one command
STEP, ALONE, MARKDOWN = "step", "alone", "markdown"


class EnoughError(Exception):
    """Whoever is at the terminal has had enough."""


def go_through(chapter: Chapter, root: Path, program: str, manner: str) -> int:
    """0, or 1 when a command has failed that the chapter does not say will fail."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return throwaway.host_live(f"minirun-tour-{os.getpid()}", lambda: _live(chapter, root, program, manner))


def _live(chapter: Chapter, root: Path, program: str, manner: str) -> int:
    top = Root("/")
    filesystem_mount(top, str(root), top.open(str(root), os.O_PATH | os.O_DIRECTORY), "tmpfs", "mode=700", NODEV)
    os.close(top.fd)
    os.environ["PATH"] = f"{Path(program).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["MINIRUN_ROOT"] = str(root)
    try:
        codes = [_show(part, manner) for part in chapter.parts]
    except (EnoughError, KeyboardInterrupt, EOFError):
        return 0
    return max(codes)


def _show(part: Prose | Commands, manner: str) -> int:
    shows: dict[str, Callable[[Prose | Commands], int]] = {STEP: _step, ALONE: _alone, MARKDOWN: _markdown}
    return shows[manner](part)


def _step(part: Prose | Commands) -> int:
    if isinstance(part, Prose):
        return _tell(part)
    for line in part.lines:
        print(f"  {_bold('$ ' + line)}")
    answer = input("  Enter does it, s skips it, q ends: ").strip().lower()
    if answer == "q":
        raise EnoughError
    return 0 if answer == "s" else _alone(part, told=True)


def _alone(part: Prose | Commands, told: bool = False) -> int:
    if isinstance(part, Prose):
        return _tell(part)
    worst = 0
    for line in part.lines:
        if not told or len(part.lines) > 1:
            print(f"  {_bold('$ ' + line)}", flush=True)
        code, said = _run(line)
        print(textwrap.indent(said, "  "), end="", flush=True)
        worst = max(worst, code)
    print()
    return worst


def _markdown(part: Prose | Commands) -> int:
    if isinstance(part, Prose):
        print(part.text + "\n")
        return 0
    worst = 0
    print("```")
    for line in part.lines:
        print(f"$ {line}")
        code, said = _run(line)
        print(said, end="")
        worst = max(worst, code)
    print("```\n", flush=True)
    return worst


def _tell(part: Prose) -> int:
    text = part.text.lstrip("# ")
    is_heading = part.text.startswith("#")
    words = textwrap.fill(" ".join(text.split()), min(100, _width())) if not text.startswith("- ") else text
    print((_bold(words) if is_heading else words) + "\n", flush=True)
    return 0


def _run(line: str) -> tuple[int, str]:
    """(1 when it failed, what it said). A command that is to fail says so: `... || true`."""
    env = {name: os.environ[name] for name in ("PATH", "MINIRUN_ROOT")}
    done = program_run("/bin/sh", ["-c", f"exec 2>&1\n{line}"], env=env, seconds=_SECONDS)
    said = done.out if done.out.endswith("\n") or not done.out else done.out + "\n"
    return int(done.code != 0), said


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _width() -> int:
    try:
        return max(60, os.get_terminal_size(1).columns)
    except OSError:
        return 100
