"""Run a chapter: show its text, and run its commands.

Each chapter has a throwaway host of its own. When the chapter ends, for whatever reason, the kernel removes everything
that it made.
"""

import os
import sys
import textwrap
from pathlib import Path

from minirun.diagnostics.tour.chapters import Chapter, Commands, Prose
from minirun.kernel import throwaway
from minirun.kernel.mounts import NODEV, filesystem_mount
from minirun.kernel.programs import program_run
from minirun.kernel.tree_root import Root

_TIMEOUT = 60.0  # seconds, for one command
_PROMPT = "  [Enter] run  [s] skip  [q] quit "
# How to run a chapter: with a prompt before each step, without prompts, or printing Markdown.
STEP, ALONE, MARKDOWN = "step", "alone", "markdown"
# How a chapter ends. The process that runs it is another one, and they are its exit codes.
DONE, FAILED, QUIT = 0, 1, 2


class QuitError(Exception):
    """The user wants to end the tour."""


def run_chapter(chapter: Chapter, root: Path, program: str, manner: str) -> int:
    """Run a chapter in a throwaway copy of this host.

    `root` is the state root to use there, `program` the path of minirun, `manner` is STEP, ALONE or MARKDOWN. Returns
    DONE; FAILED at the first command that fails and that the chapter does not expect to fail; or QUIT.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return throwaway.host_live(f"minirun-tour-{os.getpid()}", lambda: _run_parts(chapter, root, program, manner))


def _run_parts(chapter: Chapter, root: Path, program: str, manner: str) -> int:
    top = Root("/")
    filesystem_mount(top, str(root), top.open(str(root), os.O_PATH | os.O_DIRECTORY), "tmpfs", "mode=700", NODEV)
    os.close(top.fd)
    os.environ["PATH"] = f"{Path(program).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["MINIRUN_ROOT"] = str(root)
    try:
        failed = any(_run_part(part, manner) for part in chapter.parts)
    except (QuitError, KeyboardInterrupt, EOFError):
        return QUIT
    return FAILED if failed else DONE


def _run_part(part: Prose | Commands, manner: str) -> bool:
    """Return whether a command failed."""
    if isinstance(part, Prose):
        print(part.text + "\n" if manner == MARKDOWN else _wrapped(part) + "\n", flush=True)
        return False
    if manner == MARKDOWN:
        print("```")
        failed = any(_run(line, "") for line in part.lines)
        print("```\n", flush=True)
        return failed
    if manner == STEP:
        for line in part.lines:
            print(f"  {_bold('$ ' + line)}")
        answer = input(_PROMPT).strip().lower()
        if answer == "q":
            raise QuitError
        if answer == "s":
            return False
    shows_command = manner == ALONE or len(part.lines) > 1  # a single command was just shown, above the prompt
    failed = any(_run(line, "  ", shows_command) for line in part.lines)
    print(flush=True)
    return failed


def _run(line: str, indent: str, shows_command: bool = True) -> bool:
    """Run a shell command and print it with its output; return whether it failed. A command that is expected to fail
    ends in `|| true`."""
    if shows_command:
        print(f"{indent}{_bold('$ ' + line)}", flush=True)
    env = {name: os.environ[name] for name in ("PATH", "MINIRUN_ROOT")}
    done = program_run("/bin/sh", ["-c", f"exec 2>&1\n{line}"], env=env, seconds=_TIMEOUT)
    output = done.out if done.out.endswith("\n") or not done.out else done.out + "\n"
    print(textwrap.indent(output, indent), end="", flush=True)
    return done.code != 0


def _wrapped(part: Prose) -> str:
    text = part.text.lstrip("# ")
    if not text.startswith("- "):
        text = textwrap.fill(" ".join(text.split()), min(100, _width()))
    return _bold(text) if part.text.startswith("#") else text


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _width() -> int:
    """Return the terminal's width in columns, at least 60; 100 without a terminal."""
    try:
        return max(60, os.get_terminal_size(1).columns)
    except OSError:
        return 100
