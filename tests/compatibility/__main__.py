"""Run suites against an engine: --help says how. `scripts/compatibility` starts it."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.compatibility import library, outcomes, report, schema
from tests.compatibility.peers import Peers
from tests.compatibility.stage import ENGINES, staged
from tests.compatibility.suites import SUITES, compose

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "minirun-compatibility"


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/compatibility", description=__doc__)
    parser.add_argument("suite", choices=[*SUITES, "all", "report"])
    parser.add_argument("word", nargs="*", help="tests, in the suite's own manner; all of them if there is none")
    parser.add_argument("--engine", choices=ENGINES, default="minirun")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="directory for what is downloaded (%(default)s)")
    parser.add_argument("--results", type=Path, help="directory for logs and results (CACHE/results)")
    parser.add_argument(
        "--source", type=Path, action="append", default=[], help="directory with clones of the projects"
    )
    parser.add_argument("--record", action="store_true", help="compose: what Docker does is what is expected")
    options, more = parser.parse_known_args(words)
    options.word += more
    return options


def main() -> None:
    """Exit with 1 if a test fails that Docker passes and no list explains."""
    options = _parse(sys.argv[1:])
    # Stages are taken down whatever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid():
        sys.exit("scripts/compatibility: must run as root")
    peers = Peers(options.cache.resolve(), [place.resolve() for place in options.source])
    results = (options.results or options.cache / "results").resolve()
    if options.suite == "report":
        return report.write(results)
    library.ensure(peers, results / "library")
    names = (
        [name for name in SUITES if name != "cli" or options.engine == "minirun"]
        if options.suite == "all"
        else [options.suite]
    )
    good = [_run(name, options, peers, results / f"{name}-{options.engine}") for name in names]
    return sys.exit(not all(good))


def _run(name: str, options: argparse.Namespace, peers: Peers, results: Path) -> bool:
    with staged(options.engine, peers, results) as stage:
        if name == "compose":
            found = compose.run(stage, options.word, options.record)
        else:
            found = SUITES[name](stage, options.word)
    outcomes.write(results / "outcomes.json", list(found))
    verdict = outcomes.judge(name, options.engine, found)
    if name != "cli":  # its hosts have no recorder
        schema.check(peers, results)
        schema.say(name, options.engine, results.parent)
    outcomes.say(name, options.engine, verdict)
    return verdict.is_good


main()
