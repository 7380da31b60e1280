"""volume inspect, and the mounts in container inspect: Docker's structure and field names."""

import time
from typing import Any

from minirun.instance import Instance
from minirun.model import Mount, Spec
from minirun.volume.records import Volume, find_volume
from minirun.volume.volumes import data_path

_ANONYMOUS = "com.docker.volume.anonymous"


def labels_of(volume: Volume) -> dict[str, str]:
    """Return a volume's labels, with Docker's label for an anonymous one."""
    return {**volume.labels, **({_ANONYMOUS: ""} if volume.anonymous else {})}


def describe_volume(instance: Instance, volume: Volume) -> dict[str, Any]:
    """Return what `volume inspect` prints."""
    own = data_path(instance, Volume(volume.name))
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created)),
        "Driver": "local",
        "Labels": labels_of(volume) or None,
        "Mountpoint": volume.device or str(own),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }


def host_config(spec: Spec) -> dict[str, Any]:
    """Return the mounts as they were requested, by -v, --mount, --tmpfs and --volumes-from."""
    mounts = [mount for mount in spec.mounts if not mount.shared]
    binds = [mount for mount in mounts if not mount.must_exist and mount.kind != "tmpfs" and not mount.anonymous]
    return {
        "Binds": [":".join(filter(None, (mount.source, mount.target, mount.modes))) for mount in binds] or None,
        "Mounts": [_requested(mount) for mount in mounts if mount.must_exist],
        "Tmpfs": {
            mount.target: mount.options if mount.asked is None else mount.asked
            for mount in mounts
            if mount.kind == "tmpfs" and not mount.must_exist
        },
        "VolumesFrom": list(spec.volumes_from) or None,
    }


def mounts(instance: Instance, spec: Spec) -> list[dict[str, Any]]:
    """Return the mounts as they are. As in Docker, a tmpfs is included only if --mount requested it."""
    return [_mounted(instance, mount) for mount in spec.mounts if mount.kind != "tmpfs" or mount.must_exist]


def _mounted(instance: Instance, mount: Mount) -> dict[str, Any]:
    common = {
        "Destination": mount.target,
        "Mode": _mode(mount),
        "RW": not mount.read_only,
    }
    if mount.kind != "volume":
        propagation = (mount.propagation or "rprivate") if mount.kind == "bind" else ""
        return {"Type": mount.kind, "Source": mount.source, **common, "Propagation": propagation}
    volume = find_volume(instance.store, mount.source) or Volume(mount.source)
    source = str(data_path(instance, volume))
    return {
        "Type": "volume",
        "Name": mount.source,
        "Source": source,
        "Destination": mount.target,
        "Driver": "local",
        **common,
        "Propagation": "",
    }


def _mode(mount: Mount) -> str:
    """The modes as given. Docker says z of a volume that was asked for without any (setBindModeIfNull)."""
    if mount.shared:
        return ""
    is_asked_for = mount.kind == "volume" and (mount.must_exist or not mount.anonymous)
    return mount.modes or ("z" if is_asked_for else "")


def _requested(mount: Mount) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if mount.kind == "bind" and mount.propagation:
        options["BindOptions"] = {"Propagation": mount.propagation}
    if mount.kind == "volume" and (mount.no_copy or mount.subpath):
        options["VolumeOptions"] = {"NoCopy": mount.no_copy, "Subpath": mount.subpath}
    if mount.kind == "image" and mount.subpath:
        options["ImageOptions"] = {"Subpath": mount.subpath}
    if mount.kind == "tmpfs":
        options["TmpfsOptions"] = {
            _TMPFS[name]: int(value, 8) if name == "mode" else int(value)
            for name, _, value in (word.partition("=") for word in mount.options.split(","))
            if name in _TMPFS
        }
    source = "" if mount.anonymous else mount.source
    return {"Type": mount.kind, "Source": source, "Target": mount.target, "ReadOnly": mount.read_only, **options}


_TMPFS = {"size": "SizeBytes", "mode": "Mode"}
