"""The entries of an image's history, in BuildKit's words: `docker history` shows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.steps import CopyStep, RunStep, Step
from minirun.image.dockerfile.syntax import Instruction
from minirun.image.instructions import command_line, exposed_ports


def created_by(
    instruction: Instruction,
    step: Step | None,
    config: Mapping[str, Any],
    variables: Mapping[str, str],
    arguments: Iterable[str],
) -> str:
    """Return the history entry of an instruction whose variables are expanded, and whose ARG has its values; "" when it
    has none.

    `config` and `variables` are those after it, `arguments` the names of the ARG so far. Secrets, proxies and the
    content of here-documents that are copied are no part of it.
    """
    match instruction:
        case syntax.Run() if isinstance(step, RunStep):
            given = [f"{name}={variables.get(name, '')}" for name in arguments]
            return " ".join(["RUN", *([f"|{len(given)}", *given] if given else []), *step.argv])
        case syntax.Copy() | syntax.Add() if isinstance(step, CopyStep):
            return _copy(instruction)
        case syntax.Arg():
            values = [name if value is None else f"{name}={value}" for name, value in instruction.declarations]
            return " ".join(["ARG", *values])
        case syntax.Env() | syntax.Label():
            return " ".join([instruction.keyword, *(f"{pair.name}={pair.value}" for pair in instruction.pairs)])
        case syntax.Cmd() | syntax.Entrypoint():
            return f"{instruction.keyword} [{' '.join(map(_quoted, command_line(config, instruction)))}]"
        case syntax.Expose():
            return f"EXPOSE {_listed(exposed_ports(instruction))}"
        case syntax.Volume():
            return f"VOLUME {_listed(instruction.paths)}"
        case syntax.Shell():
            return f"SHELL {_listed(instruction.words)}"
        case syntax.Workdir():
            return f"WORKDIR {config['WorkingDir']}"
        case syntax.Onbuild():
            return ""
        case syntax.Text():
            return f"{instruction.keyword} {instruction.argument}"
    return instruction.text


def _copy(transfer: syntax.Copy | syntax.Add) -> str:
    flags = [f"--chown={transfer.chown}"] if transfer.chown else []
    flags += [f"--chmod={transfer.chmod}"] if transfer.chmod else []
    if isinstance(transfer, syntax.Copy) and transfer.parents:
        flags.insert(0, "--parents")
    contents = [f"<<{heredoc.name}" for heredoc in transfer.contents]
    return " ".join([transfer.keyword, *flags, *transfer.sources, *contents, transfer.destination])


def _listed(words: Iterable[str]) -> str:
    return f"[{' '.join(words)}]"


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
