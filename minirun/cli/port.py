"""minirun port: what is published; port add and port rm change it."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.errors import MinirunError
from minirun.model import PortMapping
from minirun.options import parse
from minirun.store.lookup import find_container

_CHANGES = ("add", "rm")


class Port(Verb):
    usage = (
        "CONTAINER [PRIVATE_PORT[/PROTO]]\n"
        "        minirun port add CONTAINER [[ADDRESS:]PORT:]PRIVATE_PORT[/PROTO]...\n"
        "        minirun port rm CONTAINER [ADDRESS:]PORT[/PROTO]..."
    )
    least, most = 1, 2
    completes = "running -"

    def _count(self) -> None:
        """Three words or more are the change of a container's ports; two are Docker's, also of one called `add`."""
        if len(self.words) <= 2 or self.words[0] not in _CHANGES:
            super()._count()

    def run(self) -> None:
        if len(self.words) > 2:
            return _change(*self.words)
        instance = open_instance()
        found = find_container(instance.store, self.words[0])
        wanted = _private(self.words[1]) if len(self.words) > 1 else ""
        lines = [
            (private, f"{mapping.host}:{port}")
            for mapping in (publication.mapping for publication in instance.store.ports(container=found.id))
            for private, port in zip(mapping.private_ports, mapping.host_ports, strict=True)
        ]
        if not wanted:
            print("".join(f"{private} -> {place}\n" for private, place in lines), end="")
            return None
        matching = [place for private, place in lines if private == wanted]
        if not matching:
            raise MinirunError(f"No public port '{wanted}' published for {found.name}")
        print("\n".join(matching))
        return None


def _private(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


def _change(verb: str, reference: str, *texts: str) -> None:
    from minirun.engine import hot_update

    mappings = [parse.parse_port(text) if verb == "add" else parse.parse_place(text) for text in texts]
    instance = open_instance()
    for text, mapping in zip(texts, mappings, strict=True):
        found = find_container(instance.store, reference)
        if verb == "add":
            print(
                "".join(f"{_said(one)}\n" for one in hot_update.publish(instance, found, mapping)), end="", flush=True
            )
        else:
            hot_update.unpublish(instance, found, mapping)
            print(text, flush=True)


def _said(mapping: PortMapping) -> str:
    """80/tcp -> 0.0.0.0:8080"""
    place, _, private = str(mapping).partition("->")
    return f"{private} -> {place}"
