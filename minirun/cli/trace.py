"""minirun trace: follow one real packet."""

import json
import os
import sys

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, number, switch, value
from minirun.errors import FAILED, MinirunError


class Trace(Verb):
    usage = "PORT | SOURCE TARGET:PORT"
    least = 1
    most = 2
    completes = "running -"
    sender = value("from", "", "Who sends to PORT: outside, host, or a container", "outside")
    seconds = number("timeout", "t", "Seconds to wait for an answer", 3)
    json = switch("json", "", "As JSON")

    def run(self) -> int:
        from minirun.tracing.places import Source, port_of_host, target_of
        from minirun.tracing.reasons import judge
        from minirun.tracing.telling import as_dict, as_text
        from minirun.tracing.walking import walk

        if not 0 < self.seconds <= 60:
            raise MinirunError("--timeout: from 1 to 60 seconds", code=FAILED)
        instance = open_instance(heals=False)
        name = self.sender if len(self.words) == 1 else self.words[0]
        source = Source(instance, name)
        try:
            word = self.words[-1]
            target = port_of_host(instance, word) if len(self.words) == 1 else target_of(instance, source, word)
            journey = walk(instance, source, target, self.seconds)
            finding = judge(instance, journey)
        finally:
            source.close()
        if self.json:
            print(json.dumps(as_dict(journey, finding), indent=2))
        else:
            print(as_text(journey, finding, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
        return 0 if finding.arrived else 1
