"""minirun inspect."""

from collections.abc import Callable
from typing import Any

from minirun.cli.each import for_each_container
from minirun.cli.format import print_objects
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch, value
from minirun.engine.inspect import describe_container, describe_network
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container
from minirun.store.lookup import find_container

Finder = Callable[[Instance, str], dict[str, Any] | None]


class Inspect(Verb):
    usage = "NAME|ID [NAME|ID...]"
    least = 1
    completes = "objects"
    form = value("format", "f", "Format output using a custom template: json or TEMPLATE")
    size = switch("size", "s", "Display total file sizes if the type is container")
    rules = switch("rules", "", "Show every rule, element and interface that is there for a container")
    kind = value("type", "", "Only inspect objects of the given type: container, image, network or volume")

    def run(self) -> int:
        kinds = [self.kind or self._called_kind()] if self.kind or self._called_kind() else list(FINDERS)
        if kinds[0] not in FINDERS:
            known = ", ".join(f'"{kind}"' for kind in FINDERS)
            raise MinirunError(f'unknown type: "{self.kind}": must be one of {known}')
        instance = open_instance()
        if self.rules and self.form not in ("", "json"):
            raise MinirunError("--rules is shown as lines, or with --format json")
        if self.rules and self.form:
            return _print_rules_as_json(instance, self.words)
        if self.rules:
            return for_each_container(instance, self.words, lambda one: _print_rules(instance, one), silent=True)

        def find(name: str) -> dict[str, Any] | None:
            found = next((one for kind in kinds if (one := FINDERS[kind](instance, name)) is not None), None)
            return found and self._sized(instance, found)

        return print_objects(self.words, find, self.form, f"No such {kinds[0] if len(kinds) == 1 else 'object'}: {{}}")

    def _called_kind(self) -> str:
        """`minirun container inspect` looks among containers alone."""
        return self.called.split()[0] if " " in self.called else ""

    def _sized(self, instance: Instance, described: dict[str, Any]) -> dict[str, Any]:
        if not self.size or "State" not in described:
            return described
        from minirun.archive.tree_walk import tree_size
        from minirun.image.records import image_size

        container = find_container(instance.store, described["Id"])
        own = tree_size(instance.container_dir(container.id) / "upper")
        return {**described, "SizeRw": own, "SizeRootFs": own + image_size(instance, container)}


def _print_rules(instance: Instance, container: Container) -> None:
    from minirun.network.firewall.listing import rules_of

    print(f"{container.name} ({container.short_id})")
    place = ""
    for one in rules_of(instance, container):
        if one.place != place:
            place = one.place
            print(f"  {place}" + ("" if one.why in ("container", container.name) else f"  ({one.why})"))
        print(f"    {one.text}")


def _print_rules_as_json(instance: Instance, words: list[str]) -> int:
    import json
    from dataclasses import asdict

    from minirun.network.firewall.listing import rules_of

    found = [find_container(instance.store, word) for word in words]
    told = [
        {"Id": one.id, "Name": one.name, "Rules": [asdict(rule) for rule in rules_of(instance, one)]} for one in found
    ]
    print(json.dumps(told, indent=4))
    return 0


def _container(instance: Instance, name: str) -> dict[str, Any] | None:
    if instance.store.find_containers(name.removeprefix("/")):
        return describe_container(instance, find_container(instance.store, name))
    return None


def _network(instance: Instance, name: str) -> dict[str, Any] | None:
    network = instance.store.find_network(name)
    return describe_network(instance, network) if network else None


def _image(instance: Instance, name: str) -> dict[str, Any] | None:
    from minirun.image.inspect import describe_image
    from minirun.image.resolve import AmbiguousError, look_up

    try:
        image = look_up(instance, name)
    except AmbiguousError:
        raise
    except MinirunError:  # what cannot be the name of one
        image = None
    return describe_image(instance, image) if image else None


def _volume(instance: Instance, name: str) -> dict[str, Any] | None:
    from minirun.volume.inspect import describe_volume
    from minirun.volume.records import find_volume

    volume = find_volume(instance.store, name)
    return describe_volume(instance, volume) if volume else None


# In the order in which a name is looked for.
FINDERS: dict[str, Finder] = {"container": _container, "image": _image, "network": _network, "volume": _volume}
