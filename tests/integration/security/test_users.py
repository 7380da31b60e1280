"""--user and --group-add: what looks like a number is an id or refused, whatever the image calls its users."""

from collections.abc import Iterator

import pytest

from tests.harness import Host

_RANGE = "uids and gids must be in range 0-2147483647"
_ACCOUNTS = r"""
printf '%s\n' root:x:0:0::/root:/bin/sh -5:x:0:0::/:/bin/sh 77:x:0:0::/:/bin/sh +9:x:0:0::/:/bin/sh \
  plain:x:00012:13::/plain:/bin/sh odd:x:99999999999999999999:0::/:/bin/sh minus:x:-3:0::/:/bin/sh > etc/passwd
printf '%s\n' root:x:0: -6:x:0: 88:x:0: staff:x:14:plain > etc/group
"""


@pytest.fixture(scope="module")
def accounts() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        host.image("accounts", _ACCOUNTS)
        host.minirun("run", "-d", "--name", "base", "--net=none", "accounts", "sleep", "1000")
        yield host


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("77", "77 0 0"),
        ("77:88", "77 88 88"),
        ("12", "12 13 13 14"),
        ("012", "12 13 13 14"),
        ("plain", "12 13 13 14"),
        ("plain:staff", "12 14 14"),
        ("0", "0 0 0"),
        ("2147483647", "2147483647 0 0"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_who_it_is(accounts: Host, verb: str, user: str, shown: str) -> None:
    script = "echo $(id -u) $(id -g) $(id -G)"
    words = ["run", "--rm", "--net=none"] if verb == "run" else ["exec"]
    name = "accounts" if verb == "run" else "base"
    assert accounts.minirun(*words, f"--user={user}", name, "sh", "-c", script).stdout.strip() == shown


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--user=-5"], f"{_RANGE}, not '-5'"),
        (["--user=+9"], f"{_RANGE}, not '+9'"),
        (["--user=-0"], f"{_RANGE}, not '-0'"),
        (["--user=plain:+5"], f"{_RANGE}, not '+5'"),
        (["--user=-5:0"], f"{_RANGE}, not '-5'"),
        (["--user=0:-6"], f"{_RANGE}, not '-6'"),
        (["--group-add=-6"], f"{_RANGE}, not '-6'"),
        (["--user=2147483648"], _RANGE),
        (["--user=99999999999999999999"], _RANGE),
        (["--user=" + "1" * 5000], _RANGE),
        (["--user=odd"], _RANGE),
        (["--user=minus"], "unable to find user minus"),
        (["--user=--5"], "unable to find user --5"),
        (["--user=+"], "unable to find user +"),
        (["--user=٣"], "unable to find user ٣"),
        (["--user=1_0"], "unable to find user 1_0"),
    ],
)
def test_what_is_none(accounts: Host, flags: list[str], message: str) -> None:
    done = accounts.minirun("run", "--rm", "--net=none", *flags, "accounts", "id", check=False)
    assert (done.returncode, done.stdout) == (125, "")
    assert message in done.stderr
