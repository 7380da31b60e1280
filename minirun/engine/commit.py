"""commit: a new image from what a container has changed and how it is configured."""

from minirun.archive.layer_content import copy_layer
from minirun.engine.diff import RUNTIME_PATHS
from minirun.engine.inspect_config import health
from minirun.image import records
from minirun.image.create import NewImage, add_image
from minirun.image.document import Config
from minirun.image.instructions import apply, environment_of
from minirun.image.records import Image
from minirun.image.resolve import image_to_run
from minirun.instance import Instance
from minirun.model import Container, Process


def commit(
    instance: Instance,
    container: Container,
    reference: str,
    changes: tuple[str, ...],
    author: str,
    comment: str,
    owner: Process | None = None,
    given: Config | None = None,
) -> Image:
    """Record a new image: the container's writable layer on top of its own image's layers.

    `changes` are lines of a Dockerfile, `reference` is the new tag or "", `owner` the process with which it ends,
    `given` a configuration that the container's own completes.
    NotFoundError if the base image is gone.
    """
    base = image_of(instance, container)
    own = config_of(container, base)
    config = apply(merged(given, own) if given else own, changes)
    upper = instance.container_dir(container.id) / "upper"
    skip = frozenset(path.lstrip("/") for path in RUNTIME_PATHS)
    return add_image(
        instance,
        lambda layer: copy_layer(upper, layer, skip),
        NewImage(
            config,
            " ".join(container.spec.argv),
            comment,
            author,
            base.document.architecture,
            parent=base.id,
            owner=owner,
        ),
        reference,
        base,
    )


def merged(given: Config, own: Config) -> Config:
    """Complete a configuration by a container's own, as Docker does: a command goes with the entrypoint above it."""
    config = {**own, **given}
    if given.get("Entrypoint") and not given.get("Cmd"):
        config.pop("Cmd", None)
    config["Env"] = [f"{name}={value}" for name, value in {**environment_of(own), **environment_of(given)}.items()]
    for field in ("Labels", "ExposedPorts", "Volumes"):
        config[field] = {**dict(own).get(field, {}), **dict(given).get(field, {})}  # type: ignore[dict-item]
    return {name: value for name, value in config.items() if value}  # type: ignore[return-value]


def image_of(instance: Instance, container: Container) -> Image:
    """Return the image that a container was made from."""
    return records.by_id(instance.store, container.spec.image_id) or image_to_run(instance, container.spec.image)


def config_of(container: Container, base: Image) -> Config:
    """Return a container's configuration as Docker does: its image's, changed by the options of `create`."""
    spec = container.spec
    exposed = dict.fromkeys((*spec.expose, *(port for mapping in spec.ports for port in mapping.private_ports)))
    # no_copy marks those from --volumes-from
    anonymous = [mount.target for mount in spec.mounts if mount.anonymous and not mount.no_copy]
    config: Config = {
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Cmd": list(spec.argv[len(spec.entrypoint) :]),
        "Entrypoint": list(spec.entrypoint),
        "WorkingDir": spec.workdir if spec.workdir != "/" else base.config.get("WorkingDir", ""),
        "User": spec.user,
        "Labels": dict(spec.labels),
        "ExposedPorts": {port: {} for port in exposed},
        "Volumes": {**base.config.get("Volumes", {}), **{target: {} for target in anonymous}},
        "Healthcheck": health(spec.health) if spec.health and not spec.health.listening else {},
        "StopSignal": spec.stop_signal,
    }
    return {name: value for name, value in config.items() if value}  # type: ignore[return-value]
