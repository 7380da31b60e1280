"""What was typed wrongly: the usage follows an error of syntax, and no other. And the flags before the command."""

import pytest

from minirun.cli.commands import COMMANDS
from minirun.cli.main import run
from minirun.cli.refused import REFUSED


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(list(words))
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, printed.err


@pytest.mark.parametrize(
    ("words", "code", "path", "error"),
    [
        *((f"{verb} --nosuch", 125, f"minirun {verb}", "unknown flag: --nosuch") for verb in COMMANDS),
        ("--nosuch ps", 125, "minirun", "unknown flag: --nosuch"),
        ("-x ps", 125, "minirun", "unknown shorthand flag: 'x' in -x"),
        ("network --nosuch", 125, "minirun network", "unknown flag: --nosuch"),
        ("run -itX busybox", 125, "minirun run", "unknown shorthand flag: 'X' in -itX"),
        ("run --name", 125, "minirun run", "flag needs an argument: --name"),
        ("--root", 125, "minirun", "flag needs an argument: --root"),
        ("run", 1, "minirun run", "'minirun run' requires at least 1 argument"),
        ("network connect a", 1, "minirun network connect", "'minirun network connect' requires 2 arguments"),
        ("volume create a b", 1, "minirun volume create", "'minirun volume create' requires at most 1 argument"),
        ("help ps ps", 1, "minirun help", "'minirun help' takes one command"),
    ],
)
def test_usage_follows_an_error_of_syntax(
    capsys: pytest.CaptureFixture[str], words: str, code: int, path: str, error: str
) -> None:
    ended, printed = _said(capsys, *words.split())
    assert ended == code
    assert printed.startswith(f"minirun: {error}\n\nUsage:  {path}")
    assert printed.endswith(f"\n\nRun '{path} --help' for more information\n")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        *(
            (f"{verb} {'--' if len(flag) > 1 else '-'}{flag}", 125, f"is not supported: {why}")
            for verb, flags in REFUSED.items()
            for flag, why in flags.items()
        ),
        ("-H unix:///run/x.sock ps", 125, "-H is not supported: there is no daemon"),
        ("--log-level=info ps", 125, "--log-level is not supported"),
        ("--context other ps", 125, 'context "other" not found'),
        ("--debug=maybe ps", 125, 'invalid argument "maybe" for "-D, --debug" flag'),
        ("--explain=loud ps", 125, "invalid argument 'loud' for --explain"),
        ("ps --explain", 125, "--explain goes before the command: minirun --explain ps"),
        ("explain -f loud ps", 125, "invalid argument 'loud' for --format"),
        ("stop -t x c", 125, 'invalid argument "x" for "-t, --timeout" flag'),
        ("run --rm=maybe busybox", 125, 'invalid argument "maybe" for "--rm" flag'),
        ("run --memory=x busybox", 125, 'invalid argument "x" for --memory'),
        ("run --cpus=1 --cpu-period=5000 busybox", 125, "Conflicting options: Nano CPUs and CPU Period"),
        ("run -d -a stdout busybox", 125, "Conflicting options: -a and -d"),
        ("run --wait busybox", 125, "--wait goes with --detach"),
        ("create --pids-limit=-5 busybox", 125, "Invalid pids limit: -5"),
        ("create --publish=x busybox", 125, "Invalid containerPort: x"),
        ("update web", 1, "you must provide one or more flags when using this command"),
        ("network create --gateway=10.0.0.1 a", 1, "every gateway, range and aux address needs a subnet"),
        (
            "network ls --filter x",
            125,
            'invalid argument "x" for "--filter" flag: bad format of filter (expected name=value)',
        ),
        ("volume create --name a b", 1, "conflicting options: cannot specify a volume-name"),
        ("volume create -o what=x", 1, 'create: invalid option: "what"'),
        ("cp a b", 1, "must specify at least one container source"),
        ("tour nosuch", 1, "no such chapter"),
    ],
)
def test_no_usage_follows_an_error_of_meaning(
    capsys: pytest.CaptureFixture[str], words: str, code: int, error: str
) -> None:
    ended, printed = _said(capsys, *words.split())
    assert ended == code, printed
    assert printed.startswith("minirun: ")
    assert error in printed
    assert "Usage:" not in printed
    assert len(printed.splitlines()) <= 2  # the error, and perhaps a hint


def test_the_debug_flag_shows_where_an_unexpected_error_happened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of a test")

    monkeypatch.setattr("minirun.cli.system.info.host_platform", fail)
    assert _said(capsys, "version") == (1, "minirun: ZeroDivisionError: of a test\nminirun -D shows where\n")
    for flag in ("-D", "--debug"):
        code, printed = _said(capsys, flag, "version")
        assert code == 1
        assert "in fail" in printed


def test_the_default_context_is_this_host(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-c", "default"], ["--context=default"]):
        assert run([*words, "--version"]) == 0
    assert capsys.readouterr().out.count("minirun version") == 2
