"""commit: what a container has changed becomes a layer, and what it was given becomes the new image's configuration."""

from minirun.engine.inspect_config import health
from minirun.image import records
from minirun.image.create import add_image
from minirun.image.instructions import apply
from minirun.image.records import Config, Image
from minirun.instance import Instance
from minirun.model import Container


def commit(
    instance: Instance, container: Container, reference: str, changes: tuple[str, ...], author: str, comment: str
) -> Image:
    from minirun.archive.layer_fill import copy_layer

    base = image_of(instance, container)
    config = apply(config_of(container, base), changes)
    upper = instance.container_dir(container.id) / "upper"
    return add_image(
        instance,
        lambda layer: copy_layer(upper, layer),
        {
            "config": config,
            "architecture": base.details.get("architecture", ""),
            "parent": base.id,
            "author": author,
            "comment": comment,
        },
        {"created_by": " ".join(container.spec.argv), "comment": comment},
        reference,
        base,
    )


def image_of(instance: Instance, container: Container) -> Image:
    from minirun.image.resolve import image_to_run

    found = records.by_id(instance.store, container.spec.image_id)
    return found or image_to_run(instance, container.spec.image)


def config_of(container: Container, base: Image) -> Config:
    """The container's, as Docker has it: its image's with all that was said at create, also the command."""
    spec = container.spec
    exposed = dict.fromkeys((*spec.expose, *(port for mapping in spec.ports for port in mapping.private_ports)))
    nameless = [mount.target for mount in spec.mounts if mount.anonymous and not mount.no_copy]  # not --volumes-from's
    config: Config = {
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Cmd": list(spec.argv[len(spec.entrypoint) :]),
        "Entrypoint": list(spec.entrypoint),
        "WorkingDir": spec.workdir if spec.workdir != "/" else base.config.get("WorkingDir", ""),
        "User": spec.user,
        "Labels": dict(spec.labels),
        "ExposedPorts": {port: {} for port in exposed},
        "Volumes": {**base.config.get("Volumes", {}), **{place: {} for place in nameless}},
        "Healthcheck": health(spec.health) if spec.health else {},
        "StopSignal": spec.stop_signal,
    }
    return {name: value for name, value in config.items() if value}  # type: ignore[return-value]
