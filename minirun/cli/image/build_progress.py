"""How a build shows what it does, on standard error: lines for a pipe, the running steps at a terminal, or nothing."""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from minirun.engine.build.options import StepReport
from minirun.image.dockerfile.syntax import Instruction

_SHOWN = 6  # lines of output that a running step shows at a terminal
_KEPT = 50  # lines of output that are printed again when a step fails
_RULE = "------"


class Step:
    """A step that is running, and what its command has written last."""

    def __init__(self, progress: "Quiet", number: int, title: str) -> None:
        self.number = number
        self.title = title
        self.begun = time.monotonic()
        self.state = ""
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._progress = progress
        self._partial: dict[str, bytes] = {}  # by stream, what has no end of line yet

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    def output(self, data: bytes, stream: str) -> None:
        """Take output: whole lines are shown."""
        *lines, self._partial[stream] = (self._partial.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._show(line)

    def line(self, text: str) -> None:
        """Take a line about what is done."""
        self._progress.show(self, text)

    def cached(self) -> None:
        """Take note that the cache had the result."""
        self.state = "CACHED"

    def made(self, image_id: str) -> None:
        """Its title tells enough."""

    def end(self) -> None:
        """Show the last lines, which may have no end."""
        for line in filter(None, self._partial.values()):
            self._show(line)

    def _show(self, line: bytes) -> None:
        written = line.rstrip(b"\r").decode("utf-8", "replace")
        text = f"{self.seconds:.3f} {written}"
        self.lines.append(text)
        self._progress.show(self, text)


class Quiet:
    """Show nothing, except for the output of a step that failed. The other ways of showing a build extend this one."""

    prints_output = False  # whether the output of a step has been shown when it fails

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._number = 0
        self._failed: Step | None = None

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        if self._failed is not None and self._failed.lines and not self.prints_output:
            lines = [_RULE, f" > {self._failed.title}:", *self._failed.lines, _RULE]
            print(*lines, sep="\n", file=sys.stderr)

    @contextmanager
    def step(self, title: str, instruction: Instruction | None = None) -> Iterator[StepReport]:
        """Begin a step, and show how it ends."""
        with self._lock:
            self._number += 1
            step = Step(self, self._number, title)
            self.begin(step)
        try:
            yield step
        except BaseException as error:
            step.end()
            step.state = f"ERROR: {error}" if str(error) else "CANCELED"
            with self._lock:
                self._failed = self._failed or (step if str(error) else None)
                self.end(step)
            raise
        step.end()
        step.state = step.state or f"DONE {step.seconds:.1f}s"
        with self._lock:
            self.end(step)

    def configured(self, instruction: Instruction) -> None:
        """It takes no time, and is not shown."""

    def warn(self, text: str) -> None:
        """Show a warning."""

    def begin(self, step: Step) -> None:
        """A step begins."""

    def show(self, step: Step, text: str) -> None:
        """A step has something to show."""

    def end(self, step: Step) -> None:
        """A step has ended; `step.state` says how."""


class Plain(Quiet):
    """One line for each thing that happens, each with the number of its step."""

    prints_output = True

    def begin(self, step: Step) -> None:
        self._print(f"#{step.number} {step.title}")

    def show(self, step: Step, text: str) -> None:
        with self._lock:
            self._print(f"#{step.number} {text}")

    def end(self, step: Step) -> None:
        self._print(f"#{step.number} {step.state}\n")

    def warn(self, text: str) -> None:
        with self._lock:
            self._print(f"WARN: {text}")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class RawJson(Quiet):
    """One JSON object a line: {"step": 2, "event": "begin|output|end|warning", "text": ...}."""

    prints_output = True

    def begin(self, step: Step) -> None:
        self._print(step=step.number, event="begin", text=step.title)

    def show(self, step: Step, text: str) -> None:
        with self._lock:
            self._print(step=step.number, event="output", text=text)

    def end(self, step: Step) -> None:
        self._print(step=step.number, event="end", text=step.state, seconds=round(step.seconds, 3))

    def warn(self, text: str) -> None:
        with self._lock:
            self._print(event="warning", text=text)

    def _print(self, **fields: object) -> None:
        print(json.dumps(fields), file=sys.stderr, flush=True)


class AtTerminal(Quiet):
    """What has been done stays; below it are the running steps with the last lines of their output."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._running: list[Step] = []
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,  # notes of a start come above it
        )

    def __enter__(self) -> "AtTerminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        super().__exit__()

    def begin(self, step: Step) -> None:
        self._running.append(step)

    def end(self, step: Step) -> None:
        self._running.remove(step)
        colour = {"C": "blue", "E": "red"}.get(step.state[:1], "green")
        state = step.state if step.state[:1] != "E" else "ERROR"
        self._console.print(self._line(step.title, state, colour), soft_wrap=True)

    def warn(self, text: str) -> None:
        with self._lock:
            self._console.print(Text(f" WARN {text}", "yellow"), soft_wrap=True)

    def _line(self, title: str, state: str, colour: str) -> Text:
        room = max(20, self._console.width - len(state) - 6)
        line = Text(" => ", colour)
        line.append(title[:room].ljust(room))
        line.append(f" {state}", colour)
        return line

    def _render(self) -> RenderableType:
        with self._lock:
            lines: list[Text] = []
            for step in self._running:
                lines.append(self._line(step.title, f"{step.seconds:.1f}s", "cyan"))
                for text in list(step.lines)[-_SHOWN:]:
                    lines.append(Text(f" => => {text}"[: self._console.width], "dim"))
            return Group(*lines)


def progress_of(name: str, quiet: bool) -> Quiet:
    """Return what shows a build: --progress auto, plain, tty, quiet or rawjson."""
    if quiet or name == "quiet":
        return Quiet()
    if name == "rawjson":
        return RawJson()
    if name == "tty" or (name == "auto" and Console(stderr=True).is_terminal):
        return AtTerminal()
    return Plain()
