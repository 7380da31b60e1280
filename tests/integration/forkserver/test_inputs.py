"""What a command is given: words, variables, locale, and open files, the same through the server as in plain Python."""

import subprocess
import sys

import pytest

from tests.integration.forkserver.served import SERVER, Outcome, ServedHost

# execve(2) takes what no shell makes: a variable twice, entries without a name, and without "=".
ENVIRONMENT = (
    'import ctypes, os, sys; own = [b"%s=%s" % one for one in os.environb.items()];'
    ' odd = [b"A=first", b"A=second", b"no-value", b"=no-name", b"E=", b"B\\xff=\\xfe", b"LONG=" + 100000 * b"x"];'
    " strings = lambda some: (ctypes.c_char_p * (len(some) + 1))(*some, None);"
    " ctypes.CDLL(None).execve(os.fsencode(sys.argv[1]), strings(list(map(os.fsencode, sys.argv[1:]))),"
    " strings(odd + own))"
)
LOCALES = [
    "unset LC_ALL LC_CTYPE LANG;",
    "LC_ALL=C",
    "LC_ALL=POSIX",
    "LC_ALL=C.UTF-8",
    "LC_ALL=C.utf8 LANG=C",
    "LC_ALL=xx_YY.UTF-8",
    "LC_ALL= LC_CTYPE= LANG=xx_YY.utf8",
    "LC_ALL= LC_CTYPE=C LANG=xx_YY.UTF-8",
]


def both(served: ServedHost, *words: str, before: str = "exec", **kwargs: object) -> Outcome:
    """Run these words both ways; the outcome has to be the same."""
    default = served.run(*words, before=before, **kwargs)
    plain = served.run(*words, before=before, way="off", **kwargs)
    assert (default.way, plain.way) == (SERVER, "MINIRUN_FORKSERVER=off")
    assert (default.code, default.output, default.errors) == (plain.code, plain.output, plain.errors)
    return default


def test_odd_words(served: ServedHost) -> None:
    words = ["", " ", "\n", "*", "ä", "\udcff\udcfe", "--", "-e", "x" * 100000]
    script = 'for word; do printf "%s|" "$word"; done'
    done = both(served, "run", "--rm", "--net=none", "busybox", "sh", "-c", script, "sh", *words)
    assert done.output == b"".join(word.encode(errors="surrogateescape") + b"|" for word in words)


def test_odd_variables(served: ServedHost) -> None:
    before = f"exec {sys.executable} -ISc '{ENVIRONMENT}'"
    flags = [word for name in ("A", "E", "B\udcff", "LONG", "no-value", "GONE") for word in ("-e", name)]
    done = both(served, "run", "--rm", "--net=none", "-h", "h", *flags, "busybox", "env", before=before)
    assert b"A=first\n" in done.output
    assert b"B\xff=\xfe\n" in done.output
    assert b"LONG=" + 100000 * b"x" in done.output


@pytest.mark.parametrize("settings", LOCALES)
def test_locales(served: ServedHost, settings: str) -> None:
    """What is printed when it is not text, and the variables of a container that asks for the locale."""
    if "named" not in served.run("ps", "-a").output.decode():
        assert served.run("create", "--name", "named", "busybox").code == 0
    before = f"{settings} exec" if "unset" in settings else f"export {settings} 2>/dev/null; exec"
    both(served, "ps", "-a", "--format", "ä\udcff{{.Names}}", before=before)
    flags = ["-e", "LC_ALL", "-e", "LC_CTYPE", "-e", "LANG"]
    both(served, "run", "--rm", "--net=none", "-h", "h", *flags, "busybox", "env", before=before)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC-5", ":nonsense", ""])
def test_time_zones(served: ServedHost, zone: str) -> None:
    if "named" not in served.run("ps", "-a").output.decode():
        assert served.run("create", "--name", "named", "busybox").code == 0
    both(served, "ps", "-a", "--format", "{{.CreatedAt}}", env={"TZ": zone})


def test_standard_streams_are_the_callers(served: ServedHost) -> None:
    """A pipe, a file that is appended to, and one that is read from where the shell has left it."""
    script = "read first; echo $first; cat; echo told >&2"
    before = "printf 'skipped\\nfirst\\nrest\\n' >/run/input; exec </run/input; read skipped; exec"
    done = both(served, "run", "-i", "--rm", "--net=none", "busybox", "sh", "-c", script, before=before)
    assert (done.output, done.errors) == (b"first\nrest\n", b"told\n")


@pytest.mark.parametrize("number", [3, 9, 99, 100, 101, 200, 1000])
def test_an_open_file_is_named_by_its_number(served: ServedHost, number: int) -> None:
    """As `<(...)` gives it to a program: /dev/fd/63. 100 and more: where a worker has its own."""
    before = f"exec {number}< <(echo VALUE=$((6 * 7))); exec"
    words = ("--env-file", f"/dev/fd/{number}", "--rm", "--net=none", "busybox", "sh", "-c", "echo $VALUE")
    assert both(served, "run", *words, before=before).output == b"42\n"


def test_many_open_files(served: ServedHost) -> None:
    """More than one message of the kernel's takes."""
    opened = "; ".join(f"exec {number}</dev/null" for number in range(10, 700))
    before = f"{opened}; exec 800< <(echo VALUE=42); exec"
    words = ("--env-file", "/dev/fd/800", "--rm", "--net=none", "busybox", "sh", "-c", "echo $VALUE")
    assert both(served, "run", *words, before=before).output == b"42\n"


def test_too_many_open_files(served: ServedHost) -> None:
    code = "import os, sys; [os.dup2(0, n) for n in range(10, 4200)]; os.execv(sys.argv[1], sys.argv[1:])"
    before = f"exec {sys.executable} -ISc '{code}'"
    done = served.run("version", before=before)
    assert (done.way, done.code) == ("there are too many open files", 0)


def test_a_reader_that_goes_away(served: ServedHost) -> None:
    """`minirun ... | true`: the same code, and not a word."""
    codes = []
    for way in ("", "off"):
        script = f"MINIRUN_FORKSERVER={way} {served.launcher} run --help | true; echo ${{PIPESTATUS[0]}}"
        argv = served.host.command(["bash", "-c", f"sleep 0.1; {script}"])
        codes.append(subprocess.run(argv, capture_output=True, check=True, timeout=30))
    assert codes[0].stderr == codes[1].stderr == b""


@pytest.mark.parametrize("numbers", ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams(served: ServedHost, numbers: str) -> None:
    """Nothing that is opened meanwhile is taken for them."""
    script = "cat; echo out; echo err >&2; exit 9"
    outcomes = [
        served.run(
            "run", "-i", "--rm", "--net=none", "busybox", "sh", "-c", script, before=f"exec {numbers}; exec", way=way
        )
        for way in ("", "off")
    ]
    code = 1 if "1>&-" in numbers else 9  # what the container says cannot be written
    assert [one.code for one in outcomes] == [code, code]
    assert (outcomes[0].output, outcomes[0].errors) == (outcomes[1].output, outcomes[1].errors)
