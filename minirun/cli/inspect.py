"""minirun inspect."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import click
from typer import Argument, Option

from minirun.archive.tree_walk import tree_size
from minirun.cli.completion.values import objects, words
from minirun.cli.each import for_each_container
from minirun.cli.output.format import Described, print_objects
from minirun.cli.parameters import ObjectFormat
from minirun.cli.session import commands, open_instance
from minirun.engine.inspect import describe_container, network_named
from minirun.errors import MinirunError
from minirun.image.inspect import describe_image
from minirun.image.records import image_size
from minirun.image.resolve import AmbiguousError, look_up
from minirun.instance import Instance
from minirun.model import Container
from minirun.network.firewall.listing import rules_of
from minirun.store.lookup import find_container
from minirun.volume.inspect import describe_volume
from minirun.volume.records import find_volume

Finder = Callable[[Instance, str], dict[str, Any] | None]
app = commands()


@app.command("inspect")
def inspect(
    ctx: click.Context,
    names: Annotated[list[str], Argument(metavar="NAME|ID [NAME|ID...]", autocompletion=objects)],
    form: ObjectFormat = "",
    rules: Annotated[
        bool, Option("--rules", help="Show every rule, element and interface that exists for a container")
    ] = False,
    size: Annotated[bool, Option("--size", "-s", help="Display total file sizes if the type is container")] = False,
    kind: Annotated[
        str,
        Option(
            "--type",
            help="Only inspect objects of the given type: container, image, network or volume",
            autocompletion=words("container", "image", "network", "volume"),
        ),
    ] = "",
) -> int:
    """Return low-level information on objects."""
    # `minirun container inspect` looks among containers alone.
    group = str(ctx.parent.info_name) if ctx.parent and ctx.parent.parent else ""
    kinds = [kind or group] if kind or group else list(FINDERS)
    if kinds[0] not in FINDERS:
        known = ", ".join(f'"{kind}"' for kind in FINDERS)
        raise MinirunError(f'unknown type: "{kind}": must be one of {known}')
    instance = open_instance()
    if rules and form not in ("", "json"):
        raise MinirunError("--rules is shown as lines, or with --format json")
    if rules and form:
        return _print_rules_as_json(instance, names)
    if rules:
        return for_each_container(instance, names, lambda container: _print_rules(instance, container), silent=True)

    def find(name: str) -> Described | None:
        for kind in kinds:
            if (described := FINDERS[kind](instance, name)) is not None:
                return kind, _with_sizes(instance, described) if size and kind == "container" else described
        return None

    return print_objects(names, find, form, f"No such {kinds[0] if len(kinds) == 1 else 'object'}: {{}}")


def _with_sizes(instance: Instance, described: dict[str, Any]) -> dict[str, Any]:
    container = find_container(instance.store, described["Id"])
    own = tree_size(instance.container_dir(container.id) / "upper")
    return {**described, "SizeRw": own, "SizeRootFs": own + image_size(instance, container)}


def _print_rules(instance: Instance, container: Container) -> None:
    print(f"{container.name} ({container.short_id})")
    place = ""
    for one in rules_of(instance, container):
        if one.place != place:
            place = one.place
            print(f"  {place}" + ("" if one.why in ("container", container.name) else f"  ({one.why})"))
        print(f"    {one.text}")


def _print_rules_as_json(instance: Instance, words: list[str]) -> int:
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
    return network_named(instance, name)


def _image(instance: Instance, name: str) -> dict[str, Any] | None:
    try:
        image = look_up(instance, name)
    except AmbiguousError:
        raise
    except MinirunError:  # what cannot be the name of one
        image = None
    return describe_image(instance, image) if image else None


def _volume(instance: Instance, name: str) -> dict[str, Any] | None:
    volume = find_volume(instance.store, name)
    return describe_volume(instance, volume) if volume else None


# In the order in which a name is looked for.
FINDERS: dict[str, Finder] = {"container": _container, "image": _image, "network": _network, "volume": _volume}
