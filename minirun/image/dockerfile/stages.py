"""The plan of a build: which stages a target needs, in which order, and which images.

Names of stages are case-insensitive in --from and --target; FROM means only stages above it. A number counts stages
from 0. What is neither is an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.parser import parse_lines
from minirun.image.dockerfile.run_mounts import origin_of
from minirun.image.dockerfile.source import Lines, suggestion
from minirun.image.dockerfile.steps import Builtin, ImageOrigin, Origin, StageOrigin
from minirun.image.dockerfile.syntax import Dockerfile, From, Instruction
from minirun.image.dockerfile.variables import global_variables, predefined
from minirun.image.dockerfile.words import Syntax, expand
from minirun.image.platforms import Platform, parse_platform

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Stage:
    """A stage of the Dockerfile."""

    index: int
    name: str  # as shown: the name after AS, or stage-0
    start: From
    base: Origin
    platform: Platform
    instructions: tuple[Instruction, ...] = field(repr=False)  # those of ONBUILD triggers first
    origins: Mapping[str, Origin] = field(repr=False)  # what --from and from= mean

    @property
    def needs(self) -> frozenset[int]:
        """The stages that must be built before this one."""
        return frozenset(
            origin.index for origin in (self.base, *self.origins.values()) if isinstance(origin, StageOrigin)
        )

    @property
    def images(self) -> frozenset[ImageOrigin]:
        """The images that it needs."""
        return frozenset(origin for origin in (self.base, *self.origins.values()) if isinstance(origin, ImageOrigin))


@dataclass(frozen=True)
class Plan:
    """The stages to build, in an order in which each comes after those that it needs."""

    dockerfile: Dockerfile
    stages: tuple[Stage, ...]
    target: Stage
    build_args: Mapping[str, str]
    variables: Mapping[str, str]  # what FROM can use

    @property
    def images(self) -> frozenset[ImageOrigin]:
        """The images that the build needs."""
        return frozenset().union(*(stage.images for stage in self.stages))


def make_plan(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    platform: Platform,
    build_platform: Platform,
    target: str = "",
    triggers: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Plan the build of a stage (`target`: its name or number), or of the last one.

    `triggers` are the ONBUILD triggers of base images, by the reference that FROM has. They may need more images: plan
    without them, look at the images, and plan again until nothing is new. MinirunError when something is wrong.
    """
    variables = global_variables(dockerfile, predefined(platform, build_platform, build_args), build_args)
    stages = _Stages(dockerfile, variables, platform, triggers or {}).stages()
    wanted = _target(stages, target)
    needed, waiting = {wanted.index}, [wanted.index]
    while waiting:
        new = stages[waiting.pop()].needs - needed
        needed |= new
        waiting += new
    for index in sorted(needed):
        _check_order(dockerfile, stages, index)
    return Plan(dockerfile, tuple(stages[index] for index in sorted(needed)), wanted, build_args, variables)


class _Stages:
    def __init__(
        self,
        dockerfile: Dockerfile,
        variables: Mapping[str, str],
        platform: Platform,
        triggers: Mapping[str, Sequence[str]],
    ) -> None:
        self._dockerfile = dockerfile
        self._variables = variables
        self._platform = platform
        self._triggers = triggers
        self._syntax = Syntax(escape=dockerfile.script.escape)
        self._names: dict[str, int] = {}  # of the stages read so far; a name that is used twice is the last one's

    def stages(self) -> list[Stage]:
        """Return all stages of the Dockerfile."""
        bases = [self._base(index, start) for index, (start, _) in enumerate(self._dockerfile.stages)]
        return [self._stage(index, *base) for index, base in enumerate(bases)]

    def _base(self, index: int, start: From) -> tuple[Origin, Platform]:
        with self._dockerfile.script.source.blames(start.lines):
            image = expand(start.image, self._variables, self._syntax)
            if not image:
                raise MinirunError(f"base name ({start.image}) should not be blank")
            platform = self._platform_of(start)
        known = self._names.get(image)
        if start.name:
            self._names[start.name] = index
        if known is not None:
            return StageOrigin(known), platform
        return (Builtin.SCRATCH if image == _SCRATCH else ImageOrigin(image, platform)), platform

    def _platform_of(self, start: From) -> Platform:
        if not start.platform:
            return self._platform
        text = expand(start.platform, self._variables, self._syntax)
        if not text:
            raise MinirunError(f"empty platform value from expression {start.platform}")
        try:
            return parse_platform(text, self._platform)
        except MinirunError as error:
            raise MinirunError(f"failed to parse platform {text}: {error.message}", error.hint) from None

    def _stage(self, index: int, base: Origin, platform: Platform) -> Stage:
        start, own = self._dockerfile.stages[index]
        instructions = (*self._triggered(start, base), *own)
        origins: dict[str, Origin] = {}
        for instruction in instructions:
            with self._dockerfile.script.source.blames(instruction.lines):
                for name in origins_in(instruction):
                    origins[name] = self._origin(name, isinstance(instruction, syntax.Copy))
        return Stage(index, start.name or f"stage-{index}", start, base, platform, instructions, origins)

    def _triggered(self, start: From, base: Origin) -> list[Instruction]:
        """Return the instructions that the base of a stage left to run in whatever is built from it."""
        texts: Sequence[str] = ()
        if isinstance(base, ImageOrigin):
            texts = self._triggers.get(base.reference, ())
        elif isinstance(base, StageOrigin):
            _, below = self._dockerfile.stages[base.index]
            texts = [instruction.argument for instruction in below if isinstance(instruction, syntax.Onbuild)]
        instructions: list[Instruction] = []
        for text in texts:
            with self._dockerfile.script.source.blames(start.lines):
                parsed = _parse_trigger(text, start.lines)
            instructions.append(parsed)
        return instructions

    def _origin(self, name: str, takes_number: bool) -> Origin:
        if takes_number and _is_number(name):
            index = _number(name)
            if index >= len(self._dockerfile.stages):
                raise MinirunError(f"invalid stage index {name}")
            return StageOrigin(index)
        if takes_number and expand(name, {}, self._syntax) != name:
            raise MinirunError(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                "scope as a workaround"
            )
        if name.lower() in self._names:
            return StageOrigin(self._names[name.lower()])
        return Builtin.SCRATCH if name == _SCRATCH else ImageOrigin(name, self._platform)


def origins_in(instruction: Instruction) -> list[str]:
    """Return the stages and images that --from and from= of an instruction name."""
    if isinstance(instruction, syntax.Copy):
        return [instruction.origin] if instruction.origin else []
    if isinstance(instruction, syntax.Run):
        return [origin for mount in instruction.mounts if (origin := origin_of(mount))]
    return []


def _parse_trigger(text: str, lines: Lines) -> Instruction:
    try:
        instructions = parse_lines(text, lines)
    except MinirunError as error:
        raise MinirunError(f"ONBUILD {text}: {error.message}", error.hint) from error
    if len(instructions) != 1:
        raise MinirunError("onbuild trigger should be a single expression")
    if isinstance(instructions[0], From | syntax.Maintainer | syntax.Onbuild):
        raise MinirunError(f"{instructions[0].keyword} isn't allowed as an ONBUILD trigger")
    return instructions[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> int:
    """Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) < 10 else 10**9


def _target(stages: Sequence[Stage], target: str) -> Stage:
    if not target:
        return stages[-1]
    by_name = {stage.start.name: stage for stage in stages if stage.start.name}
    if target.lower() in by_name:
        return by_name[target.lower()]
    if _is_number(target) and _number(target) < len(stages):
        return stages[_number(target)]
    names = [stage.name for stage in stages]
    raise MinirunError(f'target stage "{target}" could not be found{suggestion(target, names)}')


def _check_order(dockerfile: Dockerfile, stages: Sequence[Stage], index: int) -> None:
    """A stage can use only stages above it."""
    stage = stages[index]
    for instruction in stage.instructions:
        for name in origins_in(instruction):
            origin = stage.origins[name]
            if isinstance(origin, StageOrigin) and origin.index >= index:
                verb = "copy" if isinstance(instruction, syntax.Copy) else "mount"
                message = (
                    f'cannot {verb} from stage "{name}", it needs to be defined before current stage "{stage.name}"'
                )
                if index in _reachable(stages, origin.index):
                    message = f"circular dependency detected on stage: {stage.name}"
                dockerfile.script.source.refuse(message, instruction.lines)


def _reachable(stages: Sequence[Stage], index: int) -> set[int]:
    reached, waiting = {index}, [index]
    while waiting:
        new = stages[waiting.pop()].needs - reached
        reached |= new
        waiting += new
    return reached
