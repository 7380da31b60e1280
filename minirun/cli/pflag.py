"""What Docker's command line does and click's does not, on click's extension points.

Docker reads its arguments with pflag (https://pkg.go.dev/github.com/spf13/pflag). It differs from click in this:

    --rm=false          a switch may be given a value, but never takes the next word
    --explain[=json]    a flag may have a value that holds when it is given alone (pflag's NoOptDefVal)
    -p=80, -itp8080:80  short flags may be joined, and = may stand before the value
    -foo                is -f -o -o, never a long flag
    wording             "unknown flag: --x", "flag needs an argument: --x", and exit code 125 for both
    refused flags       a flag that Docker has and minirun does not is refused with the reason

Where flags end at the first argument (run, exec), click does it by itself: `allow_interspersed_args=False`.
"""

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

import click
from click.core import ParameterSource

# click calls its parser internal, but make_parser() is where a command may replace it. pyproject.toml bounds click.
from click.parser import _Option, _OptionParser, _ParsingState
from click.shell_completion import CompletionItem
from typer.core import TyperCommand, TyperGroup, TyperOption

from minirun.errors import FAILED, MinirunError

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class FlagError(MinirunError):
    """A flag has a value that it cannot have, or is not supported. Exit code 125, whatever the command."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=FAILED)


class UsageError(MinirunError):
    """What was typed is not how the command is used: an unknown flag, a missing value, too many or few arguments.

    Only this error is followed by the usage of its command `ctx` (main.py); what is wrong in any other, the words say.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message, code=code)
        self.ctx = click.get_current_context(silent=True)


def shown(param: click.Parameter) -> str:
    """An option as help and errors call it: `-t, --timeout`. Of several long names the first counts."""
    short = next((name for name in param.opts if not name.startswith("--")), "")
    long = next((name for name in param.opts if name.startswith("--")), "")
    return ", ".join(name for name in (short, long) if name)


def refuse(param: click.Parameter | None, text: str, why: str) -> NoReturn:
    """Raise pflag's error for a value that cannot be read."""
    assert param is not None, "click passes the parameter"
    raise FlagError(f'invalid argument "{text}" for "{shown(param)}" flag: {why}')


class GoBool(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases of click
    """A switch, read as strconv.ParseBool does."""

    name = "bool"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        """The switch's value. FlagError if it is none."""
        if isinstance(value, bool):
            return value
        if value not in _TRUE + _FALSE:
            refuse(param, value, f'strconv.ParseBool: parsing "{value}": invalid syntax')
        return value in _TRUE


class GoInt(click.ParamType):  # type: ignore[type-arg]
    """A decimal number, read as strconv.ParseInt does (Python's int() also takes blanks, _ and other digits)."""

    name = "int"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. FlagError if it is none."""
        if isinstance(value, int):
            return value
        digits = value[1:] if value[:1] in ("-", "+") else value
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            refuse(param, value, f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return int(value)


class OptionalValue(click.ParamType):  # type: ignore[type-arg]
    """A word that may be left out: `--explain` is `--explain=text`."""

    name = "string"

    def __init__(self, alone: str) -> None:
        self.alone = alone


class PflagOption(TyperOption):
    """An option that computes its default value once. `run` has a hundred, of which few are given: 3 ms of its 5."""

    _is_default_known = False
    _default_value: Any = None

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As click's."""
        assert self.name is not None, "an option has a name"
        if self._is_default_known and self.name not in opts:
            ctx.params[self.name] = self._default_value
            ctx.set_parameter_source(self.name, ParameterSource.DEFAULT)
            return self._default_value, args
        value, args = super().handle_parse_result(ctx, opts, args)
        if ctx.get_parameter_source(self.name) is ParameterSource.DEFAULT and not self.callback:
            self._is_default_known, self._default_value = True, value
        return value, args


class PflagParser(_OptionParser):
    """click's parser, except for how one word that starts with - is read."""

    def add_option(
        self,
        obj: click.Option,
        opts: Sequence[str],
        dest: str | None,
        action: str | None = None,
        nargs: int = 1,
        const: Any | None = None,
    ) -> None:
        """As click's, but a switch stores its value instead of a constant."""
        super().add_option(obj, opts, dest, (action or "store").removesuffix("_const"), nargs)

    def _process_opts(self, arg: str, state: _ParsingState) -> None:
        if arg.startswith("--"):
            self._read_long(arg, state)
        else:
            self._read_short(arg, state)

    def _read_long(self, arg: str, state: _ParsingState) -> None:
        """`--name`, `--name=VALUE`, `--name VALUE`."""
        name, equals, text = arg.partition("=")
        option = self._long_opt.get(name)
        if option is None:
            raise self._unknown(name)
        alone = _value_alone(option)
        if equals:
            option.process(text, state)
        elif alone is not None:
            option.process(alone, state)
        else:
            self._take_next(option, f"flag needs an argument: {name}", state)

    def _read_short(self, arg: str, state: _ParsingState) -> None:
        """`-it`, `-p80`, `-p=80`, `-itp 80`."""
        letters = arg[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._short_opt.get(f"-{letter}")
            if option is None:
                raise self._refused(f"-{letter}") or UsageError(f"unknown shorthand flag: '{letter}' in {arg}", FAILED)
            alone = _value_alone(option)
            if letters.startswith("="):
                return option.process(letters[1:], state)
            if alone is None and letters:
                return option.process(letters, state)
            if alone is None:
                return self._take_next(option, f"flag needs an argument: '{letter}' in {arg}", state)
            option.process(alone, state)
        return None

    def _take_next(self, option: _Option, missing: str, state: _ParsingState) -> None:
        if state.rargs:
            option.process(state.rargs.pop(0), state)
        elif self.ctx is None or not self.ctx.resilient_parsing:  # in completion the value is what is being typed
            raise UsageError(missing, FAILED)

    def _unknown(self, name: str) -> MinirunError:
        if name == "--explain":
            path = self.ctx.command_path.partition(" ")[2] if self.ctx else ""
            return FlagError(f"--explain goes before the command: minirun --explain {path}")
        return self._refused(name) or UsageError(f"unknown flag: {name}", FAILED)

    def _refused(self, name: str) -> FlagError | None:
        """The reason why minirun does not have a flag that Docker has."""
        command = self.ctx.command if self.ctx else None
        reason = command.refused.get(name.lstrip("-")) if isinstance(command, _Pflag) else None
        return FlagError(f"{name} is not supported: {reason}") if reason else None

    def _asks_for_help(self, state: _ParsingState) -> bool:
        return any("--help" in option.opts for option in state.order)

    def _process_args_for_args(self, state: _ParsingState) -> None:
        """Before click gives the arguments to their parameters: count them, unless only help is wanted."""
        if self.ctx and isinstance(self.ctx.command, PflagCommand) and not self._asks_for_help(state):
            arguments = [argument.obj for argument in self._args]
            most = None if any(argument.nargs < 0 for argument in arguments) else len(arguments)
            count = len(state.largs) + len(state.rargs)
            check_count(self.ctx, count, sum(argument.required for argument in arguments), most)
        super()._process_args_for_args(state)


def _value_alone(option: _Option) -> str | None:
    """The value that holds when the option is given without one; None if it needs one."""
    if option.obj.is_flag:
        return "true"
    return option.obj.type.alone if isinstance(option.obj.type, OptionalValue) else None


def check_count(ctx: click.Context | None, count: int, least: int, most: int | None) -> None:
    """Raise UsageError, in Docker's words, unless a command's arguments are `least` to `most` (None: any number)."""
    if ctx is None or ctx.resilient_parsing:
        return
    if least <= count and (most is None or count <= most):
        return
    if most == 0:
        raise UsageError(f"'{ctx.command_path}' accepts no arguments")
    bound = least if count < least or most is None else most
    kind = "" if least == most else "at least " if count < least else "at most "
    raise UsageError(f"'{ctx.command_path}' requires {kind}{bound} argument{'' if bound == 1 else 's'}")


class _Pflag(click.Command):
    """What a command and a group have in common.

    `refused`: Docker's flags that it does not have, without their dashes, with the reasons.
    """

    refused: Mapping[str, str] = MappingProxyType({})

    _types: ClassVar[dict[type, Any]] = {
        type(click.BOOL): GoBool(),
        type(click.INT): GoInt(),
    }

    _parser: PflagParser | None = None
    _all_params: list[click.Parameter] | None = None

    def _adopt_params(self) -> None:
        """Give switches and numbers pflag's way of reading them."""
        for param in self.params:
            param.type = self._types.get(type(param.type), param.type)
            if type(param) is TyperOption:  # typer makes them, and of no other class
                param.__class__ = PflagOption

    def prepare(self) -> None:
        """Compute what every command line needs, for processes that are forked from this one."""
        self.make_context(self.name, [], resilient_parsing=True)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters and --help."""
        if self._all_params is None:
            self._all_params = super().get_params(ctx)
        return self._all_params

    def make_parser(self, ctx: click.Context) -> PflagParser:
        """The parser, with this command's parameters."""
        if self._parser is None:
            self._parser = PflagParser(ctx)
            for param in self.get_params(ctx):
                param.add_to_parser(self._parser, ctx)
        parser = copy.copy(self._parser)
        parser.ctx = ctx
        return parser

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As click's, but [OPTIONS] only where there are any besides --help."""
        has_options = any(isinstance(param, click.Option) and not param.hidden for param in self.params)
        pieces = super().collect_usage_pieces(ctx)
        return pieces if has_options else [piece for piece in pieces if piece != self.options_metavar]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help as Docker prints it."""
        from minirun.cli.help_page import help_text  # rich takes 15 ms, which each first command would pay

        formatter.write(help_text(self, ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options that may still be given, by their first long names."""
        if not incomplete.startswith("-"):
            return []
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
        return [
            CompletionItem(long_name(option), help=option.help)
            for option in sorted(options, key=long_name)
            if long_name(option).startswith(incomplete)
            and long_name(option) != "--help"
            and (option.multiple or ctx.get_parameter_source(str(option.name)) is not ParameterSource.COMMANDLINE)
        ]


class PflagCommand(_Pflag, TyperCommand):
    """A command of minirun. `spellings`: all its names, for its help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.spellings: list[str] = []
        kwargs["context_settings"] = {**_HELP_NAMES, **(kwargs.get("context_settings") or {})}
        super().__init__(*args, **kwargs)
        self._adopt_params()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """None behind the first argument of a command whose flags end there."""
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        if not ctx.allow_interspersed_args and any(ctx.params.get(str(param.name)) for param in arguments):
            return []
        return super().shell_complete(ctx, incomplete)


class PflagGroup(_Pflag, TyperGroup):
    """A group of commands, or minirun itself with its global options."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["context_settings"] = {**_HELP_NAMES, **(kwargs.get("context_settings") or {})}
        super().__init__(**kwargs)
        self._adopt_params()


def long_name(option: click.Parameter) -> str:
    """The first of an option's long names, with its dashes."""
    return next(name for name in option.opts if name.startswith("--"))
