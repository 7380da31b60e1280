"""What a container takes from its image where nothing was said: Docker's rules of merging the two."""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.image.records import Config, Image
from minirun.model import Health, Mount, Spec


def inherit(spec: Spec, image: Image, unset: Iterable[str]) -> Spec:
    """`unset` are names of variables that the image's environment shall not give."""
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
    """None: it says nothing, or says that there is none."""
    said = image.config.get("Healthcheck", {})
    kind, *words = said.get("Test") or ["NONE"]
    if kind == "NONE":
        return None
    given = {
        ours: said[theirs] / 1e9
        for ours, theirs in (
            ("interval", "Interval"),
            ("timeout", "Timeout"),
            ("start_period", "StartPeriod"),
            ("start_interval", "StartInterval"),
        )
        if said.get(theirs)
    }
    test = ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)
    return replace(Health(test, **given), retries=said.get("Retries") or Health.retries)


def _command(spec: Spec, config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(entrypoint, argv). --entrypoint drops the image's command with its entrypoint; ("",) stands for none."""
    entrypoint, words = spec.entrypoint, spec.argv
    if not entrypoint:
        words = words or tuple(config.get("Cmd", ()))
        entrypoint = tuple(config.get("Entrypoint", ()))
    elif entrypoint == ("",):
        entrypoint = ()
    argv = (*entrypoint, *words)
    if not argv:
        raise MinirunError("no command specified", "give one behind the image", FAILED)
    if not argv[0]:
        raise MinirunError('exec: "": executable file not found in $PATH', code=127)
    return entrypoint, argv


def _env(spec: Spec, config: Config, unset: Iterable[str]) -> dict[str, Any]:
    found = {key: value for key, _, value in (one.partition("=") for one in config.get("Env", ()))}
    for name in unset:
        found.pop(name, None)
    own = dict(spec.env)
    return {"env": tuple({**found, **own}.items()), "image_env": tuple(key for key in found if key not in own)}


def _mounts(spec: Spec, config: Config) -> tuple[Mount, ...]:
    """An anonymous volume for each that the image names, but where something is mounted already."""
    if "Volumes" not in config:
        return spec.mounts
    covered = {one.target for one in spec.mounts}
    places = (os.path.normpath(place) for place in config["Volumes"])
    return (*spec.mounts, *(Mount("volume", "", place) for place in places if place not in covered))
