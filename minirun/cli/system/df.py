"""minirun system df."""

from collections.abc import Sequence
from typing import Annotated

from typer import Option

from minirun.cli.container.ps import command_of
from minirun.cli.output.format import Columns, Row, print_rows, shower
from minirun.cli.output.states import status_of
from minirun.cli.output.table import ago, size
from minirun.cli.parameters import TableFormat
from minirun.cli.session import commands, open_instance
from minirun.engine.disk_usage import ContainerUse, ImageUse, VolumeUse, container_uses, image_uses, volume_uses
from minirun.instance import Instance

_SUMMARY = Columns(
    {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}, "Type"
)
_IMAGES = Columns(
    {
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "Size": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
        "Containers": "CONTAINERS",
    },
    "ID",
)
_CONTAINERS = Columns(
    {
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Names": "NAMES",
    },
    "ID",
)
_VOLUMES = Columns({"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}, "Name")
app = commands()


@app.command("df")
def df(
    form: TableFormat = "",
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show detailed information on space usage")] = False,
) -> None:
    """Show disk usage.

    minirun has no build cache; its line is there for scripts that read it.
    """
    instance = open_instance()
    if verbose:
        _print_details(instance, form)
    else:
        print_rows(_summary(instance), _SUMMARY, form)


def _print_details(instance: Instance, form: str) -> None:
    tables: list[tuple[str, Columns, list[Row]]] = [
        ("Images", _IMAGES, [_image(one) for one in image_uses(instance)]),
        ("Containers", _CONTAINERS, [_container(one) for one in container_uses(instance)]),
        ("Volumes", _VOLUMES, [_volume(one) for one in volume_uses(instance)]),
    ]
    if form:
        print(shower(form)({**{name: rows for name, _, rows in tables}, "BuildCache": []}))
        return
    for name, columns, rows in tables:
        print(f"{'Local Volumes' if name == 'Volumes' else name} space usage:\n")
        print_rows(rows, columns, "")
        print()
    print("Build cache usage: 0B")


def _summary(instance: Instance) -> list[Row]:
    images, containers, volumes = image_uses(instance), container_uses(instance), volume_uses(instance)
    return [
        _line("Images", images, [one for one in images if not one.containers]),
        _line("Containers", containers, [one for one in containers if not one.is_active]),
        _line("Local Volumes", volumes, [one for one in volumes if not one.links]),
        _line("Build Cache", (), ()),
    ]


Use = ImageUse | ContainerUse | VolumeUse


def _line(kind: str, everything: Sequence[Use], unused: Sequence[Use]) -> Row:
    whole, free = (sum(one.size for one in uses) for uses in (everything, unused))
    return {
        "Type": kind,
        "TotalCount": str(len(everything)),
        "Active": str(len(everything) - len(unused)),
        "Size": size(whole, 4),
        "Reclaimable": size(free, 4) + (f" ({free * 100 // whole}%)" if whole else ""),
    }


def _image(one: ImageUse) -> Row:
    repository, _, tag = one.reference.rpartition(":")
    return {
        "Repository": repository or "<none>",
        "Tag": tag or "<none>",
        "ID": one.id[:12],
        "CreatedSince": ago(one.created),
        "Size": size(one.size),
        "SharedSize": size(one.shared),
        "UniqueSize": size(one.unique),
        "Containers": str(one.containers),
    }


def _container(one: ContainerUse) -> Row:
    container = one.container
    return {
        "ID": container.short_id,
        "Image": container.spec.image,
        "Command": command_of(container, whole=False),
        "LocalVolumes": str(sum(mount.kind == "volume" for mount in container.spec.mounts)),
        "Size": size(one.size),
        "RunningFor": ago(container.created),
        "Status": status_of(container),
        "Names": container.name,
    }


def _volume(one: VolumeUse) -> Row:
    return {"Name": one.name, "Links": str(one.links), "Size": size(one.size)}
