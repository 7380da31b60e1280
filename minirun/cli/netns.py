"""minirun netns: namespaces and veth pairs by themselves. Docker has nothing of the kind, so the words are ip(8)'s."""

import os
import sys
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Annotated

from typer import Argument, Option

from minirun.cli.each import for_each
from minirun.cli.output.table import print_table
from minirun.cli.session import commands, open_instance, require_root
from minirun.errors import FAILED, NOT_FOUND, MinirunError
from minirun.kernel.namespaces import join_netns
from minirun.kernel.netns import netns_exists
from minirun.network import namespaces
from minirun.network.namespaces import VethEnd
from minirun.options.values import check_name

_Names = Annotated[list[str], Argument(metavar="NAME [NAME...]")]
_End = Annotated[str, Argument(metavar="NAME[=ADDRESS/PREFIX]")]
app = commands()


@app.command("create")
def create(names: _Names) -> int:
    """Create named network namespaces."""
    require_root()
    for name in names:
        check_name(name, "network namespace")
    return for_each(names, namespaces.create)


@app.command("rm")
def rm(names: _Names) -> int:
    """Remove network namespaces."""
    instance = open_instance()
    return for_each(names, lambda name: namespaces.remove(instance, name))


@app.command("connect")
def connect(first: _End, second: _End) -> None:
    """Connect two network namespaces with a veth pair."""
    require_root()
    ends = [word.partition("=") for word in (first, second)]
    one, other = (VethEnd(name, _address(text) if equals else None) for name, equals, text in ends)
    print(*namespaces.connect(one, other), sep="\n")


@app.command("ls")
def ls(quiet: Annotated[bool, Option("--quiet", "-q", help="Only display names")] = False) -> None:
    """List named network namespaces."""
    instance = open_instance()
    if quiet:
        for name in namespaces.names():
            print(name)
        return
    owners = namespaces.owners(instance)
    print_table(("NAME", "OWNER"), [(name, owners.get(name, "")) for name in namespaces.names()])


@app.command("exec", flags_end=True)
def exec_(
    name: Annotated[str, Argument(metavar="NAME")],
    argv: Annotated[list[str], Argument(metavar="COMMAND [ARG...]")],
) -> int:
    """Run a program of the host in a network namespace."""
    require_root()
    if not netns_exists(name):
        raise MinirunError(f"no such network namespace: {name}", f"minirun netns create {name}", FAILED)
    join_netns(name)
    sys.stdout.flush()
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        raise MinirunError(f'exec: "{argv[0]}": executable file not found in $PATH', code=NOT_FOUND) from None


def _address(text: str) -> IPv4Interface | IPv6Interface:
    try:
        return ip_interface(text)
    except ValueError:
        raise MinirunError(f"invalid address {text!r}", "such as 10.0.0.11/24", FAILED) from None
