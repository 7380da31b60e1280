"""Run a chapter: show its text, and run its commands.

Each chapter has a throwaway host of its own. When the chapter ends, for whatever reason, the kernel removes everything
that it made.
"""

import os
import sys
import textwrap
from pathlib import Path

from minirun.diagnostics.tour.chapters import LEARNED, Chapter, Commands, Part, Question
from minirun.forkserver.location import DIRECTORY
from minirun.kernel import throwaway
from minirun.kernel.mounts import NODEV, filesystem_mount
from minirun.kernel.programs import program_run
from minirun.kernel.terminal import shell_run
from minirun.kernel.tree_root import Root

_TIMEOUT = 60.0  # seconds, for one command
_RUN_KEYS = "[Enter] run  [s] skip  [!] shell  [q] quit"
_END_KEYS = "[Enter] go on  [!] shell, for the exercise  [q] quit"
_SEE_KEYS = "[Enter] to see  [!] shell  [q] quit"
_KEYS_HELP = "Press Enter to go on, s to skip the step, ! for a shell in this copy of the host, or q to quit."
_SHELL_NOTE = "A shell in the copy of the host. `exit` returns to the tour."
# How to run a chapter: with a prompt before each step, without prompts, or printing Markdown.
STEP, ALONE, MARKDOWN = "step", "alone", "markdown"
# How a chapter ends. The process that runs it is another one, and they are its exit codes.
DONE, FAILED, QUIT = 0, 1, 2


class QuitError(Exception):
    """The user wants to end the tour."""


def run_chapter(chapter: Chapter, total: int, root: Path, program: str, manner: str) -> int:
    """Run a chapter, one of `total`, in a throwaway copy of this host.

    `root` is the state root to use there, `program` the path of minirun, `manner` is STEP, ALONE or MARKDOWN. Returns
    DONE; FAILED at the first command that does not end as the chapter expects; or QUIT.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    visit = _Visit(chapter, total, manner)
    name = f"minirun-tour-{os.getpid()}"
    # The fork server is used from within the copy: one of the copy's own would end with it.
    return throwaway.host_live(name, lambda: _run_parts(visit, root, program), shared=DIRECTORY)


def _run_parts(visit: "_Visit", root: Path, program: str) -> int:
    top = Root("/")
    filesystem_mount(top, str(root), top.open(str(root), os.O_PATH | os.O_DIRECTORY), "tmpfs", "mode=700", NODEV)
    os.close(top.fd)
    os.environ["PATH"] = f"{Path(program).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["MINIRUN_ROOT"] = str(root)
    try:
        failed = any(visit.run_part(part) for part in visit.chapter.parts)
    except (QuitError, KeyboardInterrupt, EOFError):
        return QUIT
    return FAILED if failed else DONE


class _Visit:
    """One visit to a chapter."""

    def __init__(self, chapter: Chapter, total: int, manner: str) -> None:
        self.chapter = chapter
        self._total = total
        self._manner = manner
        self._step = 0

    def run_part(self, part: Part) -> bool:
        """Show a part. Return whether a command ended otherwise than expected."""
        if isinstance(part, Commands):
            self._step += 1
            return self._run_markdown(part) if self._manner == MARKDOWN else self._run_commands(part)
        if self._manner == MARKDOWN:
            print((f"> {part.text}" if isinstance(part, Question) else part.text) + "\n", flush=True)
            return False
        if part.text.startswith(LEARNED) and self._manner == STEP:  # after it, the copy of the host is gone
            self._ask(_END_KEYS)
            print()
        print(f"{wrapped(part.text)}\n", flush=True)
        if isinstance(part, Question) and self._manner == STEP:
            self._ask(_SEE_KEYS)
            print()
        return False

    def _run_markdown(self, part: Commands) -> bool:
        print("```")
        failed = any(_run(line, "", part.fails) for line in part.lines)
        print("```\n", flush=True)
        return failed

    def _run_commands(self, part: Commands) -> bool:
        if self._manner == STEP:
            counter = f"Chapter {self.chapter.number} of {self._total} · step {self._step} of {self.chapter.steps}"
            print(_dim(counter))
            for line in part.lines:
                print(f"  {_bold('$ ' + line)}")
            if self._ask(_RUN_KEYS) == "s":
                return False
        shows_command = self._manner == ALONE or len(part.lines) > 1  # a single one was just shown, above the prompt
        failed = any(_run(line, "  ", part.fails, shows_command) for line in part.lines)
        print(flush=True)
        return failed

    def _ask(self, keys: str) -> str:
        """Ask until the answer is a key: "" or "s". QuitError for q; ! opens a shell, and then it asks again."""
        while True:
            answer = input(f"  {keys} ").strip().lower()
            if answer == "q":
                raise QuitError
            if answer == "!":
                print(_SHELL_NOTE, flush=True)
                shell_run({**os.environ, "PS1": "tour# "})
            elif answer == "" or (answer == "s" and keys == _RUN_KEYS):
                return answer
            else:
                print(textwrap.indent(wrapped(_KEYS_HELP), "  "))


def _run(line: str, indent: str, fails: bool, shows_command: bool = True) -> bool:
    """Run a shell command and print it with its output. Return whether it ended otherwise than expected."""
    if shows_command:
        print(f"{indent}{_bold('$ ' + line)}", flush=True)
    env = {name: os.environ[name] for name in ("PATH", "MINIRUN_ROOT")}
    done = program_run("/bin/sh", ["-c", f"exec 2>&1\n{line}"], env=env, seconds=_TIMEOUT)
    output = done.out if done.out.endswith("\n") or not done.out else done.out + "\n"
    print(textwrap.indent(output, indent), end="", flush=True)
    return (done.code != 0) != fails


def wrapped(text: str) -> str:
    """Return a paragraph or a heading of Markdown, wrapped to the terminal's width, at most to 100 columns."""
    plain = text.lstrip("# ")
    if not plain.startswith("- "):
        plain = textwrap.fill(" ".join(plain.split()), min(100, _width()))
    return _bold(plain) if text.startswith("#") else plain


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if _has_colors() else text


def _dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if _has_colors() else text


def _has_colors() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _width() -> int:
    """Return the terminal's width in columns, at least 20; 100 without a terminal."""
    try:
        return max(20, os.get_terminal_size(1).columns)
    except OSError:
        return 100
