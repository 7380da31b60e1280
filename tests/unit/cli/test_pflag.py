"""Docker's way of reading flags, on click: what pflag does, case by case."""

import re
from typing import Annotated, Any

import click
import pytest
from typer import Argument, Option
from typer.main import get_command

from minirun.cli.app import load_command
from minirun.cli.help_page import help_text
from minirun.cli.parameters import NONE
from minirun.cli.pflag import FlagError, PflagCommand, UsageError, check_count
from minirun.cli.session import commands
from minirun.errors import FAILED


def _command(flags_end: bool = False) -> PflagCommand:
    app = commands()

    @app.command("try", flags_end=flags_end)
    def attempt(
        ctx: click.Context,
        words: Annotated[list[str], Argument()],
        tty: Annotated[bool, Option("--tty", "-t")] = False,
        interactive: Annotated[bool, Option("--interactive", "-i")] = False,
        proxy: Annotated[bool, Option("--sig-proxy")] = True,
        publish: Annotated[list[str], Option("--publish", "-p")] = NONE,
        network: Annotated[list[str], Option("--network", "--net")] = NONE,
        timeout: Annotated[int | None, Option("--timeout", "--time", "-T")] = None,
        name: Annotated[str, Option("--name", "-h")] = "",
    ) -> dict[str, Any]:
        return {key: value for key, value in ctx.params.items() if value not in (None, [], (), "", False)}

    made = get_command(app)
    assert isinstance(made, PflagCommand)
    made.refused = {"gpus": "there are none"}
    return made


def read(*words: str, flags_end: bool = False) -> dict[str, Any]:
    """What the words are read as; `proxy` only where it is off."""
    command = _command(flags_end)
    with command.make_context("try", list(words)) as ctx:
        found: dict[str, Any] = command.invoke(ctx)
    if found.pop("proxy", False) is False:
        found["no_proxy"] = True
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a", {"words": ["a"]}),
        ("a b", {"words": ["a", "b"]}),
        ("-it a", {"tty": True, "interactive": True, "words": ["a"]}),
        ("a -it", {"tty": True, "interactive": True, "words": ["a"]}),
        ("--tty false", {"tty": True, "words": ["false"]}),
        ("--tty=false a", {"words": ["a"]}),
        ("--tty=0 a", {"words": ["a"]}),
        ("--tty=T a", {"tty": True, "words": ["a"]}),
        ("-t=false a", {"words": ["a"]}),
        ("-t=true -i=1 a", {"tty": True, "interactive": True, "words": ["a"]}),
        ("--sig-proxy a", {"words": ["a"]}),
        ("--sig-proxy=false a", {"no_proxy": True, "words": ["a"]}),
        ("-p 80 a", {"publish": ["80"], "words": ["a"]}),
        ("-p80 a", {"publish": ["80"], "words": ["a"]}),
        ("-p=80 a", {"publish": ["80"], "words": ["a"]}),
        ("-itp8080:80 a", {"tty": True, "interactive": True, "publish": ["8080:80"], "words": ["a"]}),
        ("-itp 8080:80 a", {"tty": True, "interactive": True, "publish": ["8080:80"], "words": ["a"]}),
        ("-p 80 --publish=81 --publish 82 a", {"publish": ["80", "81", "82"], "words": ["a"]}),
        ("-p -t a", {"publish": ["-t"], "words": ["a"]}),
        ("--net x --network=y a", {"network": ["x", "y"], "words": ["a"]}),
        ("--name= a", {"words": ["a"]}),
        ("--name x --name y a", {"name": "y", "words": ["a"]}),
        ("--name=x=y a", {"name": "x=y", "words": ["a"]}),
        ("-h box a", {"name": "box", "words": ["a"]}),
        ("-T -5 a", {"timeout": -5, "words": ["a"]}),
        ("-T=+5 a", {"timeout": 5, "words": ["a"]}),
        ("--time 5 a", {"timeout": 5, "words": ["a"]}),
        ("- a", {"words": ["-", "a"]}),
        ("-- -t", {"words": ["-t"]}),
        ("-t -- -- a", {"tty": True, "words": ["--", "a"]}),
    ],
)
def test_a_line_is_read_as_pflag_reads_it(line: str, found: dict[str, Any]) -> None:
    assert read(*line.split()) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("-t image sh -c -i", {"tty": True, "words": ["image", "sh", "-c", "-i"]}),
        ("image --nosuch", {"words": ["image", "--nosuch"]}),
        ("-t -- image -- -i", {"tty": True, "words": ["image", "--", "-i"]}),
        ("image --help", {"words": ["image", "--help"]}),
    ],
)
def test_flags_end_at_the_first_word_where_a_command_says_so(line: str, found: dict[str, Any]) -> None:
    assert read(*line.split(), flags_end=True) == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nosuch a", "unknown flag: --nosuch"),
        ("--nosuch=1 a", "unknown flag: --nosuch"),
        ("--tt a", "unknown flag: --tt"),  # a beginning is not enough
        ("-x a", "unknown shorthand flag: 'x' in -x"),
        ("-itx a", "unknown shorthand flag: 'x' in -itx"),
        ("-tty a", "unknown shorthand flag: 'y' in -tty"),  # never a long flag
        ("a --name", "flag needs an argument: --name"),
        ("a --net", "flag needs an argument: --net"),
        ("a -p", "flag needs an argument: 'p' in -p"),
        ("a -itp", "flag needs an argument: 'p' in -itp"),
        ("--tty=x a", 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (
            "--tty=TrUe a",
            'invalid argument "TrUe" for "-t, --tty" flag: strconv.ParseBool: parsing "TrUe": invalid syntax',
        ),
        ("--time=x a", 'invalid argument "x" for "-T, --timeout" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "-T 1_0 a",
            'invalid argument "1_0" for "-T, --timeout" flag: strconv.ParseInt: parsing "1_0": invalid syntax',
        ),
        ("-T ٣ a", 'invalid argument "٣" for "-T, --timeout" flag: strconv.ParseInt: parsing "٣": invalid syntax'),
        ("--gpus all a", "--gpus is not supported: there are none"),
        ("--explain a", "--explain goes before the command: minirun --explain "),
    ],
)
def test_what_cannot_be_read_is_said_in_dockers_words(line: str, message: str) -> None:
    with pytest.raises((UsageError, FlagError)) as caught:
        read(*line.split())
    assert (caught.value.message, caught.value.code) == (message, FAILED)


def test_a_number_too_long_for_int_is_refused() -> None:
    with pytest.raises(FlagError, match="invalid syntax"):
        read("-T", "9" * 5000, "a")


@pytest.mark.parametrize(
    ("count", "least", "most", "message"),
    [
        (0, 1, None, "requires at least 1 argument"),
        (1, 2, None, "requires at least 2 arguments"),
        (0, 1, 1, "requires 1 argument"),
        (3, 2, 2, "requires 2 arguments"),
        (2, 0, 1, "requires at most 1 argument"),
        (1, 0, 0, "accepts no arguments"),
    ],
)
def test_arguments_are_counted_in_dockers_words(count: int, least: int, most: int | None, message: str) -> None:
    ctx = click.Context(_command(), info_name="minirun try")
    with pytest.raises(UsageError) as caught:
        check_count(ctx, count, least, most)
    assert caught.value.message == f"'minirun try' {message}"
    assert caught.value.code == 1


def test_arguments_that_fit_are_no_error() -> None:
    ctx = click.Context(_command(), info_name="minirun try")
    for count, least, most in ((0, 0, 0), (1, 1, 1), (5, 1, None), (1, 0, 1)):
        check_count(ctx, count, least, most)


def test_completion_of_a_half_typed_line_raises_nothing() -> None:
    command = _command()
    ctx = command.make_context("try", ["-t", "--name"], resilient_parsing=True)
    assert ctx.params["tty"] is True
    offered = [item.value for item in command.shell_complete(ctx, "--")]
    assert offered == ["--interactive", "--name", "--network", "--publish", "--sig-proxy", "--timeout"]


@pytest.mark.parametrize("columns", [50, 70, 120])
def test_help_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    command = load_command("run")
    ctx = click.Context(command, info_name="minirun run")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", help_text(command, ctx)).splitlines()
    assert max(len(line) for line in lines) <= columns
    assert any("--workdir" in line for line in lines)
