"""Volumes and mounts in Docker's shape and field names."""

import time
from typing import Any

from minirun.instance import Instance
from minirun.model import Mount, Spec
from minirun.volume.records import Volume, find_volume
from minirun.volume.volumes import data_path

_ANONYMOUS = "com.docker.volume.anonymous"


def labels_of(volume: Volume) -> dict[str, str]:
    """Docker tells an anonymous one by a label."""
    return {**volume.labels, **({_ANONYMOUS: ""} if volume.anonymous else {})}


def describe_volume(instance: Instance, volume: Volume) -> dict[str, Any]:
    own = data_path(instance, Volume(volume.name))  # also of one that stands for a directory of the host's
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
    """What was asked for, as it was asked for: by -v, --mount, --tmpfs and --volumes-from."""
    binds = [one for one in spec.mounts if not one.must_exist and one.kind != "tmpfs" and not one.anonymous]
    return {
        "Binds": [":".join(filter(None, (one.source, one.target, _modes(one)))) for one in binds] or None,
        "Mounts": [_as_asked(one) for one in spec.mounts if one.must_exist],
        "Tmpfs": {one.target: one.options for one in spec.mounts if one.kind == "tmpfs" and not one.must_exist},
        "VolumesFrom": list(spec.volumes_from) or None,
    }


def mounts(instance: Instance, spec: Spec) -> list[dict[str, Any]]:
    """What there is. As in Docker, of the tmpfs only those of --mount."""
    return [_mounted(instance, one) for one in spec.mounts if one.kind != "tmpfs" or one.must_exist]


def _mounted(instance: Instance, mount: Mount) -> dict[str, Any]:
    common = {
        "Destination": mount.target,
        "Mode": "" if mount.must_exist else _modes(mount),
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


def _modes(mount: Mount) -> str:
    words = ("ro" if mount.read_only else "", "nocopy" if mount.no_copy else "", mount.propagation)
    return ",".join(filter(None, words))


def _as_asked(mount: Mount) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if mount.kind == "bind" and mount.propagation:
        options["BindOptions"] = {"Propagation": mount.propagation}
    if mount.kind == "volume" and (mount.no_copy or mount.subpath):
        options["VolumeOptions"] = {"NoCopy": mount.no_copy, "Subpath": mount.subpath}
    if mount.kind == "tmpfs":
        options["TmpfsOptions"] = {
            _TMPFS[name]: int(value, 8) if name == "mode" else int(value)
            for name, _, value in (word.partition("=") for word in mount.options.split(","))
            if name in _TMPFS
        }
    source = "" if mount.anonymous else mount.source
    return {"Type": mount.kind, "Source": source, "Target": mount.target, "ReadOnly": mount.read_only, **options}


_TMPFS = {"size": "SizeBytes", "mode": "Mode"}
