"""minirun netns: namespaces and cables by themselves. Where Docker has nothing of the kind, the words are ip(8)'s."""

import os
import sys
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance, require_root
from minirun.cli.table import print_table
from minirun.cli.verb import Verb, switch
from minirun.errors import FAILED, NOT_FOUND, MinirunError
from minirun.options.values import check_name


class Create(Verb):
    usage = "NAME [NAME...]"
    least = 1
    completes = "-"

    def run(self) -> int:
        from minirun.network.namespaces import create

        require_root()
        for name in self.words:
            check_name(name, "network namespace")
        return for_each(self.words, create)


class Remove(Verb):
    usage = "NAME [NAME...]"
    least = 1
    completes = "-"

    def run(self) -> int:
        from minirun.network.namespaces import remove

        instance = open_instance()
        return for_each(self.words, lambda name: remove(instance, name))


class Connect(Verb):
    usage = "NAME[=ADDRESS/PREFIX] NAME[=ADDRESS/PREFIX]"
    least = most = 2
    completes = "-"

    def run(self) -> None:
        from minirun.network.namespaces import End, connect

        require_root()
        ends = [word.partition("=") for word in self.words]
        one, other = (End(name, _address(text) if equals else None) for name, equals, text in ends)
        print(*connect(one, other), sep="\n")


class List(Verb):
    most = 0
    quiet = switch("quiet", "q", "Only display names")

    def run(self) -> None:
        from minirun.network.namespaces import names, owners

        instance = open_instance()
        if self.quiet:
            for name in names():
                print(name)
            return
        known = owners(instance)
        print_table(("NAME", "OWNER"), [(name, known.get(name, "")) for name in names()])


class Exec(Verb):
    usage = "NAME COMMAND [ARG...]"
    least = 2
    interspersed = False
    completes = "-"

    def run(self) -> int:
        from minirun.kernel.netns import netns_exists
        from minirun.kernel.processes import join_netns

        require_root()
        name, *argv = self.words
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
