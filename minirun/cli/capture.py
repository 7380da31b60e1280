"""minirun capture: packets of a container, a network or a published port, without a program in the container."""

import json
import os
import sys
from contextlib import ExitStack, suppress
from typing import BinaryIO

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, number, switch, value
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.kernel.taps import Sight, Tap


class Capture(Verb):
    usage = "CONTAINER | NETWORK | PORT"
    least = most = 1
    completes = "objects"
    count = number("count", "c", "Packets after which to end", 1000)
    seconds = number("timeout", "t", "Seconds after which to end", 60)
    port = number("port", "p", "Only packets from or to this port")
    protocol = value("protocol", "", "Only this protocol: tcp, udp, icmp, icmp6, arp")
    write = value("write", "w", "Write the packets to a file, which Wireshark opens; - is standard output", kind="file")
    size = value("size", "", "How large the file may become", "64m", kind="bytes")
    json = switch("json", "", "Print each packet as JSON, on a line of its own")
    quiet = switch("quiet", "q", "Print no lines")

    def run(self) -> None:
        from minirun.diagnostics.trace.pcap import Bounds, Wanted, Writer, as_dict, line, record
        from minirun.options.values import parse_bytes

        if self.count < 1 or self.seconds < 1:
            raise MinirunError("--count and --timeout: 1 at least", code=FAILED)
        if self.protocol not in ("", "tcp", "udp", "icmp", "icmp6", "arp"):
            raise MinirunError(f"--protocol {self.protocol}: one of tcp, udp, icmp, icmp6, arp", code=FAILED)
        bounds = Bounds(self.count, self.seconds, parse_bytes(self.size, "--size"))
        with ExitStack() as done:
            tap, port = self._tap()
            done.callback(tap.close)
            writer = None
            if self.write:
                writer = Writer(done.enter_context(_opened(self.write)))
            quiet = self.quiet or self.write == "-"

            def each(sight: Sight) -> int:
                if not quiet:
                    print(json.dumps(as_dict(sight)) if self.json else line(sight), flush=True)
                if writer is not None:
                    writer.add(sight)
                return writer.size if writer else 0

            with suppress(KeyboardInterrupt):
                record(tap, Wanted(port or self.port, self.protocol), bounds, each)
            lost = tap.lost()
        if lost:
            warn(f"{lost} packets passed too fast to be seen")

    def _tap(self) -> tuple[Tap, int]:
        """Where to look, and the port that is meant."""
        from minirun.diagnostics.trace.endpoints import inside, port_of_host, running
        from minirun.store.lookup import find_network

        instance = open_instance(heals=False)
        word = self.words[0]
        if word.partition("/")[0].rpartition(":")[2].isdecimal() and not instance.store.find_containers(word):
            target = port_of_host(instance, word)
            if target.container is None:
                raise NotFoundError(f"no container publishes port {word}", "minirun ps shows what is published", FAILED)
            with inside(target.container):
                return Tap(), target.inside_port
        if instance.store.find_containers(word):
            container = running(instance, word)
            with inside(container):
                return Tap(), 0
        network = find_network(instance.store, word, FAILED)
        if not network.bridge:
            raise MinirunError(f"network {network.name} has no bridge to look at", "capture a container of it", FAILED)
        return Tap(network.bridge), 0


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # it may hold secrets
    return os.fdopen(fd, "wb")
