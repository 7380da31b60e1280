"""Arguments and options that several commands have, and how a command takes a whole dataclass of options."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, get_type_hints

from typer import Argument, Option
from typer.models import ArgumentInfo, OptionInfo

from minirun.cli.completion.values import containers, filters, images, words

R = TypeVar("R")
NONE: list[str] = []  # the default of what may be given several times


def containers_argument(kind: str = "containers", metavar: str = "CONTAINER [CONTAINER...]") -> ArgumentInfo:
    """Containers by name; completed are those of a kind: containers (all), running, paused or stopped."""
    argument: ArgumentInfo = Argument(metavar=metavar, autocompletion=containers(kind), show_default=False)
    return argument


AnyContainers = Annotated[list[str], containers_argument()]
AnyContainer = Annotated[str, containers_argument("containers", "CONTAINER")]
RunningContainers = Annotated[list[str], containers_argument("running")]
RunningContainer = Annotated[str, containers_argument("running", "CONTAINER")]
StoppedContainers = Annotated[list[str], containers_argument("stopped")]
Image = Annotated[str, Argument(metavar="IMAGE", autocompletion=images)]
Images = Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", autocompletion=images)]

_SHAPES = words("json", "table")
TableFormat = Annotated[
    str,
    Option(
        "--format",
        help="Format output using a custom template: table, table TEMPLATE, json or TEMPLATE",
        autocompletion=_SHAPES,
    ),
]
ObjectFormat = Annotated[
    str,
    Option("--format", "-f", help="Format output using a custom template: json or TEMPLATE", autocompletion=_SHAPES),
]
NoTrunc = Annotated[bool, Option("--no-trunc", help="Don't truncate output")]
ForcePrune = Annotated[bool, Option("--force", "-f", help="Do not prompt for confirmation")]
SigProxy = Annotated[bool, Option("--sig-proxy", help="Proxy all received signals to the process")]
DetachKeys = Annotated[str, Option("--detach-keys", help="Override the key sequence for detaching a container")]


def filter_option(
    keys: Iterable[str], *names: str, help: str = "Filter output based on conditions provided"
) -> OptionInfo:
    """--filter KEY=VALUE, with the command's keys."""
    option: OptionInfo = Option("--filter", *names, help=help, metavar="filter", autocompletion=filters(keys))
    return option


def with_option_groups(function: Callable[..., R]) -> Callable[..., R]:
    """Let a command take dataclasses of options: `def run(image: Image, options: CreateOptions)`.

    typer reads a command's options from its signature. This one shows each field of such a dataclass as a parameter of
    its own; the call puts the values together again. So run and create declare their hundred options once.
    """
    signature = inspect.signature(function, eval_str=True)
    groups: dict[str, Any] = {
        name: one.annotation for name, one in signature.parameters.items() if is_dataclass(one.annotation)
    }
    own = [one for name, one in signature.parameters.items() if name not in groups]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    for group in groups.values():
        hints = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name]
            )
            for field in fields(group)
        ]

    @wraps(function)
    def call(**values: Any) -> R:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return function(**values, **made)

    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
