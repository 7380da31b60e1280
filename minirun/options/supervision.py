"""What the shim does for a running container: --restart, --health-*, --log-driver, --log-opt."""

import re
from collections.abc import Iterable
from dataclasses import replace

from minirun.model import Health, Logging, Restart
from minirun.options import option_error
from minirun.options.ports import parse_container_port
from minirun.options.values import parse_bytes, parse_duration

LOG_DETAILS = ("labels", "labels-regex", "env", "env-regex", "tag")  # of json-file, for `logs --details`
HEALTH_LABEL = "minirun.health"
_LOOK = 1.0  # seconds between two looks at a program's sockets
_LEAST = 0.001  # seconds, as Docker has it


def parse_restart(text: str, auto_remove: bool = False) -> Restart:
    """Parse --restart: no, always, unless-stopped or on-failure[:N]. `auto_remove`: --rm was given, too."""
    name, _, most = text.partition(":")
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise option_error(
            f"invalid restart policy: unknown policy '{name}'", "no, always, unless-stopped or on-failure[:N]"
        )
    if most and name != "on-failure":
        raise option_error("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if most and not (most.isascii() and most.isdigit()):
        raise option_error(f"invalid restart policy format: maximum retry count must be an integer: {most}")
    if auto_remove and name not in ("", "no"):
        raise option_error("conflicting options: cannot specify both --restart and --rm")
    return Restart(name or "no", int(most or 0))


def parse_health(given: dict[str, str | int], image: Health | None, disabled: bool) -> Health | None:
    """Parse --health-*. Return None for no health check.

    `given` holds the arguments by option name; the rest comes from the image's health check or is Docker's default.
    `disabled`: --no-healthcheck was given.
    """
    if disabled:
        if given:
            raise option_error("--no-healthcheck conflicts with --health-* options")
        return None
    if not given:
        return image
    base = image or Health()
    command = given.get("health-cmd")
    test = ("/bin/sh", "-c", str(command)) if command else base.test
    health = Health(
        test,
        _seconds(given, "health-interval", base.interval),
        _seconds(given, "health-timeout", base.timeout),
        _retries(given, base.retries),
        _seconds(given, "health-start-period", base.start_period, zero=True),
        _seconds(given, "health-start-interval", base.start_interval),
    )
    return health if health.test else None


def health_by_label(labels: Iterable[tuple[str, str]], base: Health | None) -> Health | None:
    """Return the health check that the label minirun.health asks for: listening:PORT[/PROTOCOL], several with commas.

    It needs no program in the image. Times come from `base`, which is returned without such a label, or when it has a
    command.
    """
    text = dict(labels).get(HEALTH_LABEL, "")
    if not text or (base is not None and base.test):
        return base
    ports = []
    for condition in text.split(","):
        kind, _, port = condition.strip().partition(":")
        if kind != "listening" or not port:
            raise option_error(f"invalid label {HEALTH_LABEL}={text}", "such as listening:5432, or listening:53/udp")
        ports.append(parse_container_port(port))
    return replace(base or Health(interval=_LOOK, start_interval=_LOOK), listening=tuple(ports))


def _seconds(given: dict[str, str | int], flag: str, default: float, zero: bool = False) -> float:
    if flag not in given:
        return default
    seconds = parse_duration(str(given[flag]), flag)
    if seconds == 0 and not zero:
        return default
    if 0 < seconds < _LEAST:
        raise option_error(f"--{flag} cannot be less than 1ms")
    return seconds


def _retries(given: dict[str, str | int], default: int) -> int:
    retries = int(given.get("health-retries", 0))
    if retries < 0:
        raise option_error("--health-retries cannot be negative")
    return retries or default


def parse_logging(driver: str, options: Iterable[str]) -> Logging:
    """Parse --log-driver ("" is the default driver) and every `NAME=VALUE` of --log-opt."""
    if driver not in ("", "json-file", "local", "none"):
        raise option_error(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    given = dict(text.partition("=")[::2] for text in options)
    if driver == "none":
        if given:
            raise option_error("invalid logging opts for driver none")
        return Logging("none")
    # As in Docker, `local` rotates by default.
    size, files = (20_000_000, 5) if driver == "local" else (0, 1)
    known = ("max-size", "max-file", *(() if driver == "local" else LOG_DETAILS))
    for name, text in given.items():
        if name not in known:
            raise option_error(f"unknown log opt '{name}' for {driver or 'json-file'} log driver", ", ".join(known))
        if name == "max-size":
            size = 0 if text == "-1" else parse_bytes(text, "--log-opt max-size")
        elif name == "max-file":
            files = _count(text)
        elif name.endswith("-regex"):
            _check_pattern(text, name)
    return Logging(driver or "json-file", size, files, tuple(given.items()))


def _check_pattern(text: str, name: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise option_error(f"invalid log opt {name}={text}: {error}") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1_000_000:
        raise option_error(f"max-file cannot be less than 1: {text}")
    return int(text)
