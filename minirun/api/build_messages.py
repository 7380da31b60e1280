"""What a build sends: the words of Docker's classic builder, which clients read (engine.build.options.Progress)."""

import codecs
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minirun.api.image_streams import Messages
from minirun.engine.build.options import StepReport
from minirun.image.dockerfile.source import Lines
from minirun.image.dockerfile.stages import Plan
from minirun.image.dockerfile.syntax import Dockerfile, Instruction

_RED, _PLAIN = "\033[91m", "\033[0m"
_IN_MEMORY = 1 << 20  # bytes


class BuildMessages:
    """Tells of a build whose stages are built one after the other."""

    def __init__(self, messages: Messages, dockerfile: Dockerfile, plan: Plan) -> None:
        self._messages = messages
        self._has_begun = False
        wanted = dockerfile.stages[: plan.target.index + 1]
        steps = [one for start, inner in wanted for one in (start, *inner)]
        self._instructions: tuple[Instruction, ...] = (*dockerfile.arguments, *steps)
        self._numbers = {_place(one): number for number, one in enumerate(self._instructions, 1)}
        for argument in dockerfile.arguments:
            self.configured(argument)

    @contextmanager
    def step(self, title: str, instruction: Instruction | None = None) -> Iterator[StepReport]:
        """Announce an instruction; what the build does besides them is not told of."""
        if instruction is not None:
            self.configured(instruction)
        report = _StepMessages(self._messages)
        yield report
        report.end()

    def configured(self, instruction: Instruction) -> None:
        """Announce an instruction. Those of ONBUILD have no number."""
        self._has_begun = True
        number = self._numbers.get(_place(instruction))
        place = f"Step {number}/{len(self._numbers)}" if number else "Trigger"
        self._messages.text(f"{place} : {' '.join(instruction.text.split())}")
        self._messages.text("\n")

    def fail(self, lines: Lines | None) -> None:
        """Announce the instruction that is to blame for a build's end before its first step, such as FROM."""
        if not self._has_begun:
            for instruction in self._instructions:
                if instruction.lines == lines:
                    self.configured(instruction)

    def warn(self, text: str) -> None:
        """Tell of what is suspicious."""
        self._messages.text(f"[Warning] {text}\n")


def _place(instruction: Instruction) -> tuple[int, str]:
    return instruction.lines.first, instruction.text


class _StepMessages:
    """Tells of one step."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in ("stdout", "stderr")}

    def output(self, data: bytes, stream: str) -> None:
        """Pass on output as it comes; a character is never cut."""
        self._pass_on(self._decoders[stream].decode(data), stream)

    def end(self) -> None:
        """Pass on what may be left of a character."""
        for stream, decoder in self._decoders.items():
            self._pass_on(decoder.decode(b"", True), stream)

    def _pass_on(self, text: str, stream: str) -> None:
        if text:
            self._messages.text(text if stream == "stdout" else f"{_RED}{text}{_PLAIN}")

    def line(self, text: str) -> None:
        """What the id and the output do not tell is not told."""

    def cached(self) -> None:
        """The cache had the result."""
        self._messages.text(" ---> Using cache\n")

    def made(self, image_id: str) -> None:
        """The image that stands for the result."""
        self._messages.text(f" ---> {image_id[:12]}\n")


class HeldMessages(Messages):
    """With `q`: kept, and sent only if the build fails."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed below

    def put(self, **fields: Any) -> None:
        """Keep an object."""
        self._kept.write(json.dumps(fields).encode() + b"\n")

    def send(self) -> None:
        """Send what was kept."""
        self._kept.seek(0)
        for line in self._kept:
            self._messages.put(**json.loads(line))

    def close(self) -> None:
        """Forget it."""
        self._kept.close()
