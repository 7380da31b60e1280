"""minirun port: what is published; port add and port rm change it."""

from typing import Annotated

import click
from typer import Argument

from minirun.cli.parameters import NONE, RunningContainer
from minirun.cli.pflag import check_count
from minirun.cli.session import commands, open_instance
from minirun.engine import hot_update
from minirun.errors import MinirunError
from minirun.model import PortMapping
from minirun.options import ports
from minirun.store.lookup import find_container

app = commands()


@app.command("port")
def port(
    ctx: click.Context,
    container: RunningContainer,
    words: Annotated[list[str], Argument(metavar="[PRIVATE_PORT[/PROTO]]")] = NONE,
) -> None:
    """List port mappings or a specific mapping for the container.

    minirun port add CONTAINER [[ADDRESS:]PORT:]PRIVATE_PORT[/PROTO]... publishes ports of a container while it runs.

    minirun port rm CONTAINER [ADDRESS:]PORT[/PROTO]... unpublishes them.
    """
    if len(words) > 1 and container in ("add", "rm"):  # two words are Docker's, also of a container called `add`
        return _change(container, words[0], words[1:])
    if len(words) > 1:
        check_count(ctx, 1 + len(words), 1, 2)
    instance = open_instance()
    target = find_container(instance.store, container)
    wanted = _private(words[0]) if words else ""
    mappings = [publication.mapping for publication in instance.store.ports(container=target.id)]
    published = sorted(
        (mapping.container_port + step, mapping.protocol, mapping.host, mapping.host_port + step)
        for mapping in mappings
        for step in range(mapping.count)
    )
    lines = [(f"{private}/{protocol}", f"{host}:{port}") for private, protocol, host, port in published]
    if not wanted:
        print("".join(f"{private} -> {place}\n" for private, place in lines), end="")
        return None
    matching = [place for private, place in lines if private == wanted]
    if not matching:
        raise MinirunError(f"No public port '{wanted}' published for {target.name}")
    print("\n".join(matching))
    return None


def _private(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


def _change(verb: str, reference: str, texts: list[str]) -> None:
    mappings = [ports.parse_port(text) if verb == "add" else ports.parse_host_port(text) for text in texts]
    instance = open_instance()
    for text, mapping in zip(texts, mappings, strict=True):
        target = find_container(instance.store, reference)
        if verb == "add":
            for published in hot_update.publish(instance, target, mapping):
                print(_as_text(published), flush=True)
        else:
            hot_update.unpublish(instance, target, mapping)
            print(text, flush=True)


def _as_text(mapping: PortMapping) -> str:
    """80/tcp -> 0.0.0.0:8080"""
    place, _, private = str(mapping).partition("->")
    return f"{private} -> {place}"
