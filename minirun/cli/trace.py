"""minirun trace: follow one real packet."""

import json
import os
import sys

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, number, switch, value
from minirun.diagnostics.trace.endpoints import ANYBODY, Source, port_of_host, target_of
from minirun.diagnostics.trace.probe import await_packet, send_probe
from minirun.diagnostics.trace.reasons import diagnose
from minirun.diagnostics.trace.report import as_dict, as_text
from minirun.errors import FAILED, MinirunError


class Trace(Verb):
    usage = "PORT | SOURCE TARGET:PORT"
    least = 1
    most = 2
    completes = "running -"
    sender = value("from", "", "Who sends to PORT: outside, host, or a container", "outside")
    wait = switch("wait", "w", "Send nothing: follow the next packet to PORT, whoever sends it")
    seconds = number("timeout", "t", "Seconds to wait for an answer (default 3), or with --wait for a packet (30)", 0)
    json = switch("json", "", "As JSON")

    def run(self) -> int:
        if self.seconds < 0 or ("timeout" in self.given and self.seconds == 0) or self.seconds > 3600:
            raise MinirunError("--timeout: from 1 to 3600 seconds", code=FAILED)
        if self.wait and (len(self.words) == 2 or "from" in self.given or self.words[0].endswith("/udp")):
            raise MinirunError("--wait is for a TCP port of this host, and for whoever sends to it", code=FAILED)
        seconds = self.seconds or (30 if self.wait else 3)
        instance = open_instance(heals=False)
        name = ANYBODY if self.wait else self.sender if len(self.words) == 1 else self.words[0]
        source = Source(instance, name)
        try:
            word = self.words[-1]
            target = port_of_host(instance, word) if len(self.words) == 1 else target_of(instance, source, word)
            journey = (await_packet if self.wait else send_probe)(instance, source, target, seconds)
            diagnosis = diagnose(instance, journey)
        finally:
            source.close()
        if self.json:
            print(json.dumps(as_dict(journey, diagnosis), indent=2))
        else:
            print(as_text(journey, diagnosis, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
        return 0 if diagnosis.arrived else 1
