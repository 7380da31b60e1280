"""--health-*, --no-healthcheck."""

from minirun.model import Health
from minirun.options import bad
from minirun.options.durations import parse_duration

_LEAST = 0.001  # seconds, as Docker has it


def parse_health(given: dict[str, str | int], image: Health | None, disabled: bool) -> Health | None:
    """`given` by the flags' names; what is not given is the image's, or Docker's default."""
    if disabled:
        if given:
            raise bad("--no-healthcheck conflicts with --health-* options")
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


def _seconds(given: dict[str, str | int], flag: str, default: float, zero: bool = False) -> float:
    if flag not in given:
        return default
    seconds = parse_duration(str(given[flag]), flag)
    if seconds == 0 and not zero:
        return default
    if 0 < seconds < _LEAST:
        raise bad(f"--{flag} cannot be less than 1ms")
    return seconds


def _retries(given: dict[str, str | int], default: int) -> int:
    retries = int(given.get("health-retries", 0))
    if retries < 0:
        raise bad("--health-retries cannot be negative")
    return retries or default
