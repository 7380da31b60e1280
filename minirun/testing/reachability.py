"""Assertions about what reaches what, which send a real packet and say where it was lost (`minirun trace`)."""

import json
from dataclasses import dataclass

from minirun.testing.container import Container
from minirun.testing.failures import CommandError, ReachedError, UnreachableError


@dataclass(frozen=True)
class Journey:
    """What became of a packet. `sentence` says it in words, `rules` are those that it met, in order."""

    arrived: bool
    sentence: str
    advice: tuple[str, ...]
    rules: tuple[str, ...]


def journey(source: Container, target: Container, port: int) -> Journey:
    """Send a packet from one container to a TCP port of another, and follow it."""
    return _traced(source, source.name, f"{target.name}:{port}")


def explain_connection(target: Container, port: int) -> str:
    """Send a packet from the host to a TCP port, by its published port if it has one, and say what became of it."""
    published = target.inspect()["NetworkSettings"]["Ports"].get(f"{port}/tcp")
    if published:
        name = f"127.0.0.1:{published[0]['HostPort']}, which is {target.alias}:{port}"
        found = _traced(target, "--from", "host", published[0]["HostPort"])
    else:
        name, found = f"{target.alias}:{port}", _traced(target, "host", f"{target.name}:{port}")
    return "\n".join([f"the host to {name}: {found.sentence}", *found.advice])


def _traced(container: Container, *words: str) -> Journey:
    client = container.host.client
    command = ["trace", "--json", *words]
    done = client.run(command, None)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        text = done.stderr.decode("utf-8", "replace").strip()
        raise CommandError(text, client.argv(command), done.returncode) from None
    rules = tuple(rule["text"] for rule in found["rules"])
    return Journey(found["arrived"], found["sentence"], tuple(found["advice"]), rules)


def assert_reaches(source: Container, target: Container, port: int) -> None:
    """Fail with UnreachableError unless packets from `source` reach a TCP port of `target` on which it listens."""
    found = journey(source, target, port)
    if not found.arrived:
        text = [f"{source.alias} does not reach {target.alias}:{port}: {found.sentence}", *found.advice]
        raise UnreachableError("\n".join([*text, *_met(found)]))


def assert_blocked(source: Container, target: Container, port: int) -> None:
    """Fail with ReachedError if packets from `source` reach a TCP port of `target`."""
    found = journey(source, target, port)
    if found.arrived:
        text = f"{source.alias} reaches {target.alias}:{port}, which was to be blocked: {found.sentence}"
        raise ReachedError("\n".join([text, *_met(found)]))


def _met(found: Journey) -> list[str]:
    return ["rules that it met:", *(f"  {rule}" for rule in found.rules)] if found.rules else ["it met no rule"]
