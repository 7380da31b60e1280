"""minirun system df."""

from collections.abc import Sequence

from minirun.cli.format import Columns, Row, print_rows, shower
from minirun.cli.opening import open_instance
from minirun.cli.ps import command_of
from minirun.cli.states import status_of
from minirun.cli.table import ago, size
from minirun.cli.verb import Verb, switch, value
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


class SystemDf(Verb):
    """There is no build cache: its line is there for those who count on it."""

    most = 0
    verbose = switch("verbose", "v", "Show detailed information on space usage")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        instance = open_instance()
        if self.verbose:
            self._details(instance)
        else:
            print_rows(_summary(instance), _SUMMARY, self.form)

    def _details(self, instance: Instance) -> None:
        tables: list[tuple[str, Columns, list[Row]]] = [
            ("Images", _IMAGES, [_image(one) for one in image_uses(instance)]),
            ("Containers", _CONTAINERS, [_container(one) for one in container_uses(instance)]),
            ("Volumes", _VOLUMES, [_volume(one) for one in volume_uses(instance)]),
        ]
        if self.form:
            print(shower(self.form)({**{name: rows for name, _, rows in tables}, "BuildCache": []}))
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
