"""BuildKit's checks: what is right and yet probably not what was meant.

`# check=skip=RULE,RULE` leaves rules out, `# check=error=true` makes warnings errors.
https://docs.docker.com/reference/build-checks/
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.source import Lines
from minirun.image.dockerfile.stages import Plan
from minirun.image.dockerfile.syntax import Dockerfile, Instruction
from minirun.image.dockerfile.variables import proxies

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_ONLY_ONCE = (syntax.Cmd, syntax.Entrypoint, syntax.Healthcheck)
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True)
class CheckWarning:
    """One finding, with the name of its rule."""

    rule: str
    message: str
    lines: Lines

    def __str__(self) -> str:
        return f"{self.rule}: {self.message} (line {self.lines.first})"


@dataclass(frozen=True)
class CheckOptions:
    """What the `check` directive says."""

    skipped: frozenset[str] = frozenset()  # "all" are all
    is_error: bool = False


def check_options(dockerfile: Dockerfile) -> CheckOptions:
    """Parse the `check` directive. MinirunError when it is wrong."""
    skipped: frozenset[str] = frozenset()
    is_error = False
    text = dockerfile.script.directives.get("check", "")
    for part in filter(None, text.split(";")):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in ("skip", "error", "experimental"):
            raise MinirunError(f'invalid check option "{part if not equals else name}"', "skip=RULE,RULE or error=true")
        if name == "skip":
            skipped = frozenset(rule.strip() for rule in value.split(","))
        elif name == "error":
            if value not in _TRUE + _FALSE:
                raise MinirunError(f'failed to parse check option "{part}"', "error=true or error=false")
            is_error = value in _TRUE
    return CheckOptions(skipped, is_error)


def find_warnings(dockerfile: Dockerfile) -> list[CheckWarning]:
    """Check what the text alone shows, in the order of the lines, without what the `check` directive skips."""
    skipped = check_options(dockerfile).skipped
    found = [*_stage_names(dockerfile), *_casing(dockerfile), *_empty_lines(dockerfile)]
    for arg in dockerfile.arguments:
        found += _instruction(arg, "")
    for _, instructions in dockerfile.stages:
        found += _stage(instructions)
    kept = [warning for warning in found if not skipped & {"all", warning.rule}]
    return sorted(kept, key=lambda warning: (warning.lines, warning.rule))


def unused_build_args(plan: Plan) -> list[str]:
    """Return the build arguments that no ARG declares; BuildKit warns that they were not consumed."""
    dockerfile = plan.dockerfile
    instructions = [*dockerfile.arguments, *(one for stage in plan.stages for one in stage.instructions)]
    declared = {name for one in instructions if isinstance(one, syntax.Arg) for name, _ in one.declarations}
    known = declared | set(plan.variables) | set(proxies(plan.build_args)) | {"SOURCE_DATE_EPOCH"}
    return sorted(set(plan.build_args) - known)


def _stage_names(dockerfile: Dockerfile) -> Iterator[CheckWarning]:
    seen: set[str] = set()
    for start, _ in dockerfile.stages:
        if not start.name:
            continue
        written, keyword = start.text.split()[-1], start.text.split()[-2]
        if written != start.name:
            yield CheckWarning("StageNameCasing", f"Stage name '{written}' should be lowercase", start.lines)
        if _case(start.written_keyword) not in ("", _case(keyword)):
            message = f"'{keyword}' and '{start.written_keyword}' keywords' casing do not match"
            yield CheckWarning("FromAsCasing", message, start.lines)
        if start.name in ("context", "scratch"):
            message = f'Stage name should not use the same name as reserved stage "{start.name}"'
            yield CheckWarning("ReservedStageName", message, start.lines)
        if start.name in seen:
            message = f'Duplicate stage name "{start.name}", stage names should be unique'
            yield CheckWarning("DuplicateStageName", message, start.lines)
        seen.add(start.name)


def _casing(dockerfile: Dockerfile) -> Iterator[CheckWarning]:
    instructions: list[Instruction] = [one for start, rest in dockerfile.stages for one in (start, *rest)]
    counts = Counter(_case(instruction.written_keyword) for instruction in instructions)
    majority = "lowercase" if counts["lowercase"] > counts["uppercase"] else "uppercase"
    for instruction in instructions:
        keyword = instruction.written_keyword
        if _case(keyword) != majority:
            message = f"Command '{keyword}' should match the case of the command majority ({majority})"
            yield CheckWarning("ConsistentInstructionCasing", message, instruction.lines)


def _empty_lines(dockerfile: Dockerfile) -> Iterator[CheckWarning]:
    for lines in dockerfile.script.empty_continuations:
        yield CheckWarning("NoEmptyContinuation", "Empty continuation line", Lines(lines.last, lines.last))


def _stage(instructions: tuple[Instruction, ...]) -> Iterator[CheckWarning]:
    earlier: dict[type[Instruction], Instruction] = {}
    has_shell = False
    for instruction in instructions:
        yield from _instruction(instruction, "" if has_shell else "JSONArgsRecommended")
        before = earlier.get(type(instruction))
        if isinstance(before, _ONLY_ONCE):
            message = (
                f"Multiple {before.keyword} instructions should not be used in the same stage because only the last"
            )
            yield CheckWarning("MultipleInstructionsDisallowed", f"{message} one will be used", before.lines)
        if before is None and isinstance(instruction, syntax.Workdir) and instruction.argument[0] not in "/$\"'":
            message = f'Relative workdir "{instruction.argument}" can have unexpected results if the base image changes'
            yield CheckWarning("WorkdirRelativePath", message, instruction.lines)
        earlier[type(instruction)] = instruction
        has_shell |= isinstance(instruction, syntax.Shell)


def _instruction(instruction: Instruction, shell_form_rule: str) -> Iterator[CheckWarning]:
    match instruction:
        case syntax.Maintainer():
            message = "Maintainer instruction is deprecated in favor of using label"
            yield CheckWarning("MaintainerDeprecated", message, instruction.lines)
        case syntax.Cmd() | syntax.Entrypoint() if shell_form_rule and not instruction.is_exec_form:
            message = "JSON arguments recommended for {} to prevent unintended behavior related to OS signals"
            yield CheckWarning(shell_form_rule, message.format(instruction.keyword), instruction.lines)
        case syntax.Arg():
            yield from _secrets(instruction, [name for name, _ in instruction.declarations])
        case syntax.Env() | syntax.Label():
            if any(pair.is_legacy for pair in instruction.pairs):
                name = instruction.keyword
                message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
                yield CheckWarning("LegacyKeyValueFormat", message, instruction.lines)
            if isinstance(instruction, syntax.Env):
                yield from _secrets(instruction, [pair.name for pair in instruction.pairs])


def _secrets(instruction: Instruction, names: list[str]) -> Iterator[CheckWarning]:
    for name in names:
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            message = f'Do not use ARG or ENV instructions for sensitive data ({instruction.keyword} "{name}")'
            yield CheckWarning("SecretsUsedInArgOrEnv", message, instruction.lines)


def _case(word: str) -> str:
    return "lowercase" if word == word.lower() else "uppercase" if word == word.upper() else ""
