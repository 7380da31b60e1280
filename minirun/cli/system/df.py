"""minirun system df."""

from collections.abc import Sequence
from typing import Annotated

from typer import Option

from minirun.cli.container.ps import row_of
from minirun.cli.output.format import Columns, Row, print_rows, shower
from minirun.cli.output.table import ago, local_time, size
from minirun.cli.parameters import TableFormat
from minirun.cli.session import commands, open_instance
from minirun.cli.template import Struct
from minirun.cli.volume import row_of as volume_row
from minirun.engine.disk_usage import (
    ContainerUse,
    ImageUse,
    VolumeUse,
    container_uses,
    image_bytes,
    image_uses,
    volume_uses,
)
from minirun.image.build.cache import CacheUse, uses
from minirun.instance import Instance
from minirun.volume.records import Volume, find_volume

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
_BUILD_CACHE = Columns(
    {
        "ID": "CACHE ID",
        "CacheType": "CACHE TYPE",
        "Size": "SIZE",
        "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED",
    },
    "ID",
)
_TITLES = {"Volumes": "Local Volumes", "BuildCache": "Build Cache"}
app = commands()


@app.command("df")
def df(
    form: TableFormat = "",
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show detailed information on space usage")] = False,
) -> None:
    """Show disk usage."""
    instance = open_instance()
    if verbose:
        _print_details(instance, form)
    else:
        print_rows(_summary(instance), _SUMMARY, form)


def _print_details(instance: Instance, form: str) -> None:
    tables: list[tuple[str, Columns, list[Row]]] = [
        ("Images", _IMAGES, [_image(one, not form) for one in image_uses(instance)]),
        ("Containers", _CONTAINERS, [_container(instance, one, not form) for one in container_uses(instance)]),
        ("Volumes", _VOLUMES, [_volume(instance, one) for one in volume_uses(instance)]),
        ("BuildCache", _BUILD_CACHE, [_cached(one, not form) for one in uses(instance)]),
    ]
    if form:
        found = {name: [Struct(dict(sorted(row.items()))) for row in rows] for name, _, rows in tables}
        print(shower(form)(Struct(found)))
        return
    for name, columns, rows in tables:
        print(f"{_TITLES.get(name, name)} space usage:\n")
        print_rows(rows, columns, "")
        print()


def _summary(instance: Instance) -> list[Row]:
    images, containers, volumes = image_uses(instance), container_uses(instance), volume_uses(instance)
    cached = uses(instance)
    return [
        _line("Images", images, [one for one in images if not one.containers], image_bytes(instance)),
        _line("Containers", containers, *_sums(containers, [one for one in containers if not one.is_active])),
        _line("Local Volumes", volumes, *_sums(volumes, [one for one in volumes if not one.links])),
        _line("Build Cache", cached, *_sums(cached, [one for one in cached if not one.is_used])),
    ]


Measured = ContainerUse | VolumeUse | CacheUse
Use = ImageUse | Measured


def _sums(everything: Sequence[Measured], unused: Sequence[Measured]) -> tuple[Sequence[Measured], tuple[int, int]]:
    return unused, (sum(one.size for one in everything), sum(one.size for one in unused))


def _line(kind: str, everything: Sequence[Use], unused: Sequence[Use], sizes: tuple[int, int]) -> Row:
    whole, free = sizes
    return {
        "Type": kind,
        "TotalCount": str(len(everything)),
        "Active": str(len(everything) - len(unused)),
        "Size": size(whole, 4),
        "Reclaimable": size(free, 4) + (f" ({free * 100 // whole}%)" if whole else ""),
    }


def _image(one: ImageUse, short: bool) -> Row:
    repository, _, tag = one.reference.rpartition(":")
    return {
        "Repository": repository or "<none>",
        "Tag": tag or "<none>",
        "Digest": "",
        "ID": one.id[:12] if short else f"sha256:{one.id}",
        "CreatedSince": ago(one.created),
        "CreatedAt": local_time(one.created),
        "Size": size(one.size),
        "VirtualSize": size(one.size, 4),
        "SharedSize": size(one.shared, 4),
        "UniqueSize": size(one.unique, 4),
        "Containers": str(one.containers),
    }


def _container(instance: Instance, one: ContainerUse, short: bool) -> Row:
    return {**row_of(instance, one.container, not short, False), "Size": size(one.size)}


def _volume(instance: Instance, one: VolumeUse) -> Row:
    row = volume_row(instance, find_volume(instance.store, one.name) or Volume(one.name))
    return {**row, "Links": str(one.links), "Size": size(one.size, 4)}


def _cached(one: CacheUse, short: bool) -> Row:
    return {
        "ID": one.id[:12] if short else one.id,
        "CacheType": one.kind,
        "Description": one.description,
        "Size": size(one.size),
        "CreatedSince": ago(one.created),
        "LastUsedSince": ago(one.used),
        "InUse": str(one.is_used).lower(),
    }
