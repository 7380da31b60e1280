"""Writes docs/compatibility.md from the results of runs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.compatibility import outcomes
from tests.compatibility.outcomes import Outcome
from tests.harness.host import REPO

PAGE = REPO / "docs/compatibility.md"
_WHAT = {
    "cli": "minirun's own acceptance tests of commands, typed as `docker`: docker CLI 28.5.2 of Debian",
    "docker-py": "docker-py 7.2.0, its integration tests but those of swarm, plugins, secrets and configs",
    "podman-apiv2": "podman 5.8.2, the requests of test/apiv2 that are not podman's own",
    "podman-python": "podman 5.8.2, test/python/docker",
    "testcontainers": "testcontainers-python 4.15.0, the tests of its core, without Ryuk",
    "testcontainers-ryuk": "the same, with a reaper that does what Ryuk does",
    "compose": "docker compose 2.40.3 with the 25 projects in tests/compatibility/compose",
}
_HEAD = """# Compatibility with Docker's API

How much of what other people's programs expect of Docker's API does `minirun system service` do? These are tests of
other projects, unchanged, and compose projects of ours. Each is run against Docker 28.5.2 and against minirun, on the
same machine, with the same images. A test that Docker itself fails there counts for nobody. This page is generated:

```
scripts/compatibility all --engine docker --cache DIR     # Docker itself
scripts/compatibility all --cache DIR                     # minirun
scripts/compatibility report --cache DIR                  # this page
```

The clients, Docker and the tests are fetched into the cache directory at run time; nothing of them is in this
repository. Images are made of Debian's packages, and a registry on the machine stands for all others.

| suite | tests that Docker passes here | minirun passes | |
|---|---|---|---|
"""


def write(results: Path) -> None:
    """Write the page from what the last runs left in `results`."""
    found = {name: _outcomes(results, name) for name in _WHAT}
    text = _HEAD + "".join(_rows(found)) + "".join(_failures(found)) + "".join(_schema(results))
    PAGE.write_text(text + "".join(_docker(found)))


def _outcomes(results: Path, name: str) -> Mapping[str, list[Outcome]]:
    files = {engine: results / f"{name}-{engine}" / "outcomes.json" for engine in ("docker", "minirun")}
    return {engine: outcomes.read(file) for engine, file in files.items() if file.exists()}


def _rows(found: Mapping[str, Mapping[str, list[Outcome]]]) -> Iterator[str]:
    for name, engines in found.items():
        if "minirun" in engines:
            verdict = outcomes.judge(name, "minirun", engines["minirun"])
            share = f"{100 * verdict.passed / verdict.total:.1f} %" if verdict.total else "-"
            yield f"| {_WHAT[name]} | {verdict.total} | {verdict.passed} | {share} |\n"


def _failures(found: Mapping[str, Mapping[str, list[Outcome]]]) -> Iterator[str]:
    yield "\n## What minirun fails, and why\n\n"
    for name, engines in found.items():
        if "minirun" in engines:
            verdict = outcomes.judge(name, "minirun", engines["minirun"])
            for outcome, reason in verdict.explained.items():
                yield f"- {name}, `{outcome.test}`: {reason}\n"
            for outcome in verdict.unexplained:
                yield f"- {name}, `{outcome.test}`: not explained yet\n"


def _schema(results: Path) -> Iterator[str]:
    yield "\n## Answers against Docker's description of its API\n\n"
    yield "A recorder between the two checks each JSON answer against Docker's description of version 1.51.\n"
    yield "Docker breaks it in places (`null` where a list is described, for one); those are left out here.\n\n"
    theirs = {one for file in results.glob("*-docker/findings.json") for one in _violations(file)}
    for name in _WHAT:
        file = results / f"{name}-minirun" / "findings.json"
        if file.exists():
            ours = json.loads(file.read_text())
            only = sorted(set(ours["violations"]) - theirs)
            yield f"- {name}: {ours['checked']} answers checked, {len(only)} violations that Docker does not have"
            yield ":\n" if only else "\n"
            yield from (f"  - `{one}`\n" for one in only)


def _violations(file: Path) -> Mapping[str, str]:
    return dict(json.loads(file.read_text())["violations"])


def _docker(found: Mapping[str, Mapping[str, list[Outcome]]]) -> Iterator[str]:
    yield "\n## What Docker itself fails here\n\n"
    for name, engines in found.items():
        for outcome, reason in outcomes.judge(name, "docker", engines.get("docker", [])).explained.items():
            yield f"- {name}, `{outcome.test}`: {reason}\n"
