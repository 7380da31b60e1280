"""Merge a container's options with its image's configuration, by Docker's rules."""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.image.document import Config
from minirun.image.records import Image
from minirun.model import Health, Mount, Spec


def inherit(spec: Spec, image: Image, unset: Iterable[str]) -> Spec:
    """Return the spec with the image's defaults. `unset` are variables of the image to leave out.

    MinirunError with exit code 125 if there is no command, 127 if it is empty.
    """
    config = image.config
    entrypoint, argv = _command(spec, config)
    return replace(
        spec,
        image_id=image.id,
        entrypoint=entrypoint,
        argv=argv,
        **_env(spec, config, unset),
        workdir=spec.workdir or config.get("WorkingDir") or "/",
        user=spec.user or config.get("User", ""),
        labels=tuple({**config.get("Labels", {}), **dict(spec.labels)}.items()),
        expose=tuple(dict.fromkeys((*config.get("ExposedPorts", {}), *spec.expose))),
        mounts=_mounts(spec, config),
        stop_signal=spec.stop_signal or config.get("StopSignal", ""),
    )


def health_of(image: Image) -> Health | None:
    """Return the image's health check, None if it has none or disables it."""
    healthcheck = image.config.get("Healthcheck", {})
    kind, *words = healthcheck.get("Test") or ["NONE"]
    if kind == "NONE":
        return None
    times = {
        field: healthcheck[key] / 1e9
        for field, key in (
            ("interval", "Interval"),
            ("timeout", "Timeout"),
            ("start_period", "StartPeriod"),
            ("start_interval", "StartInterval"),
        )
        if healthcheck.get(key)
    }
    test = ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)
    return replace(Health(test, **times), retries=healthcheck.get("Retries") or Health.retries)


def _command(spec: Spec, config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (entrypoint, argv). --entrypoint drops the image's command and entrypoint; ("",) means no entrypoint."""
    entrypoint, words = spec.entrypoint, spec.argv
    if not entrypoint:
        words = words or tuple(config.get("Cmd", ()))
        entrypoint = tuple(config.get("Entrypoint", ()))
    elif entrypoint == ("",):
        entrypoint = ()
    argv = (*entrypoint, *words)
    if not argv:
        raise MinirunError("no command specified", "add a command after the image name", FAILED)
    if not argv[0]:
        raise MinirunError('exec: "": executable file not found in $PATH', code=127)
    return entrypoint, argv


def _env(spec: Spec, config: Config, unset: Iterable[str]) -> dict[str, Any]:
    unset = list(unset)
    image_env = {key: value for key, _, value in (text.partition("=") for text in config.get("Env", ()))}
    for name in unset:
        image_env.pop(name, None)
    own = dict(spec.env)
    return {
        "env": tuple({**image_env, **own}.items()),
        "unset_env": tuple(dict.fromkeys(unset)),
        "image_env": tuple(key for key in image_env if key not in own),
    }


def _mounts(spec: Spec, config: Config) -> tuple[Mount, ...]:
    """Add an anonymous volume for each of the image's, except where something else is mounted."""
    if "Volumes" not in config:
        return spec.mounts
    covered = {mount.target for mount in spec.mounts}
    targets = (os.path.normpath(path) for path in config["Volumes"])
    return (*spec.mounts, *(Mount("volume", "", target) for target in targets if target not in covered))
