"""What one stage of a Dockerfile knows while it is built: its configuration and variables, instruction by instruction.

state = begin(configuration of the base)
for instruction in stage.instructions:
    outcome = advance(plan, stage, state, instruction)   # outcome.step is what to execute, if anything
    state = outcome.state
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.copy_steps import copy_step
from minirun.image.dockerfile.created_by import created_by
from minirun.image.dockerfile.expansion import Expander, expanded
from minirun.image.dockerfile.run_steps import run_step
from minirun.image.dockerfile.source import suggestion
from minirun.image.dockerfile.stages import Plan, Stage
from minirun.image.dockerfile.steps import Step, WorkdirStep
from minirun.image.dockerfile.syntax import Instruction
from minirun.image.instructions import configure, environment_of

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class StageState:
    """What the instructions so far have set."""

    config: Mapping[str, Any]
    variables: Mapping[str, str]  # ENV and ARG: what words are expanded with, and the environment of RUN
    arguments: tuple[str, ...] = ()  # the names of the ARG so far, with a value or without
    author: str = ""
    has_command: bool = False  # CMD stands in this stage, so that ENTRYPOINT keeps it


@dataclass(frozen=True)
class Outcome:
    """What an instruction leads to."""

    state: StageState
    step: Step | None  # None: it changes the configuration only, which costs nothing
    created_by: str  # its entry of the image's history, "" for none
    undefined: tuple[str, ...] = field(default=())  # sentences about variables that are used and not set


def begin(base: StageState | Mapping[str, Any]) -> StageState:
    """Return the state that a stage begins with.

    `base` is the configuration of its image, {} for scratch, or the last state of the stage that it is built from: its
    ARG are inherited.
    """
    inherited = base if isinstance(base, StageState) else StageState(base, {})
    config = {name: value for name, value in inherited.config.items() if name != "OnBuild" and value}
    if "PATH" not in environment_of(config):
        config["Env"] = [*config.get("Env", []), f"PATH={_PATH}"]
    variables = {**inherited.variables, **environment_of(config)}
    return StageState(config, variables, inherited.arguments, inherited.author)


def advance(plan: Plan, stage: Stage, state: StageState, written: Instruction) -> Outcome:
    """Execute what an instruction does to the state, and return the step that it leads to.

    DockerfileError with the instruction's lines when it is wrong.
    """
    script = plan.dockerfile.script
    expander = Expander(state.variables, script.escape)
    with script.source.blames(written.lines):
        instruction = expanded(written, expander)
        if isinstance(instruction, syntax.Arg):
            instruction = _with_values(plan, state, instruction, expander)
        new_state = _changed(state, instruction)
        step = _step(plan, stage, new_state, instruction, expander)
    entry = created_by(instruction, step, new_state.config, new_state.variables, new_state.arguments)
    return Outcome(new_state, step, entry, _undefined(expander, state))


def _step(plan: Plan, stage: Stage, state: StageState, instruction: Instruction, expander: Expander) -> Step | None:
    workdir = state.config.get("WorkingDir") or "/"
    match instruction:
        case syntax.Run():
            return run_step(instruction, state.config, expander, stage, plan.build_args)
        case syntax.Copy() | syntax.Add():
            return copy_step(instruction, workdir, expander, stage)
        case syntax.Workdir() if workdir != "/":
            return WorkdirStep(lines=instruction.lines, path=workdir, user=state.config.get("User") or "")
    return None


def _changed(state: StageState, instruction: Instruction) -> StageState:
    match instruction:
        case syntax.Arg():
            values = {name: value for name, value in instruction.declarations if value is not None}
            names = dict.fromkeys((*state.arguments, *(name for name, _ in instruction.declarations)))
            return replace(state, variables={**state.variables, **values}, arguments=tuple(names))
        case syntax.Env():
            changed = {pair.name: pair.value for pair in instruction.pairs}
            state = replace(state, variables={**state.variables, **changed})
        case syntax.Maintainer():
            return replace(state, author=instruction.argument)
    config = configure(state.config, instruction, state.has_command)
    return replace(state, config=config, has_command=state.has_command or isinstance(instruction, syntax.Cmd))


def _with_values(plan: Plan, state: StageState, arg: syntax.Arg, expander: Expander) -> syntax.Arg:
    """ARG: --build-arg comes first, then the default, then the value that it has before the first FROM."""
    variables = dict(state.variables)
    declarations: list[tuple[str, str | None]] = []
    for name, default in arg.declarations:
        value = plan.build_args.get(name)
        if value is None and default is not None:
            value = replace(expander, variables=variables).word(default)
        if value is None:
            value = plan.variables.get(name)
        if value is not None:
            variables[name] = value
        declarations.append((name, value))
    return replace(arg, declarations=tuple(declarations))


def _undefined(expander: Expander, state: StageState) -> tuple[str, ...]:
    return tuple(
        f"Usage of undefined variable '${name}'{suggestion(name, expander.variables).replace('mean ', 'mean $')}"
        for name in sorted(expander.unset.difference(state.arguments))
    )
