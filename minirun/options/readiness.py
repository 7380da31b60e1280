"""The conditions of --wait: `listening:PORT`, `log:REGEX`, `http:[PORT]/PATH[=STATUS]`, `healthy`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from minirun.errors import FAILED, MinirunError
from minirun.options.ports import parse_container_port

STARTED = "started"  # --wait alone: the health check, else all published and exposed ports
_HTTP = re.compile(r"(\d{1,5})?(/[^\s]*?)(?:=(\d{3}))?")
_FORMS = "listening:PORT[/PROTOCOL], log:REGEX, http:[PORT]/PATH[=STATUS] or healthy"


@dataclass(frozen=True)
class HttpRequest:
    """A GET request of an HTTP condition. Port 0: the only TCP port that is published or exposed."""

    port: int
    path: str
    status: int = 0  # the expected status; 0 for any from 200 to 399


@dataclass(frozen=True)
class Conditions:
    """What a container must do until it is ready; all of it."""

    by_default: bool = False
    healthy: bool = False
    ports: tuple[tuple[int, str], ...] = ()  # number, protocol
    log: tuple[re.Pattern[str], ...] = ()
    http: tuple[HttpRequest, ...] = ()


def parse_conditions(texts: Iterable[str]) -> Conditions:
    """Parse the values of --wait. MinirunError (exit code 125) for one that is none."""
    by_default = healthy = False
    ports: list[tuple[int, str]] = []
    log: list[re.Pattern[str]] = []
    http: list[HttpRequest] = []
    for text in texts:
        kind, _, value = text.partition(":")
        if text in (STARTED, "true"):
            by_default = True
        elif text == "healthy":
            healthy = True
        elif kind == "listening" and value:
            ports.append(parse_container_port(value))
        elif kind == "log" and value:
            log.append(_pattern(value))
        elif kind == "http" and (match := _HTTP.fullmatch(value)):
            http.append(HttpRequest(int(match[1] or 0), match[2], int(match[3] or 0)))
        else:
            raise MinirunError(f'invalid argument "{text}" for "--wait" flag: must be {_FORMS}', code=FAILED)
    return Conditions(by_default, healthy, tuple(ports), tuple(log), tuple(http))


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        message = f'invalid argument "log:{text}" for "--wait" flag: {error}'
        raise MinirunError(message, "REGEX is a regular expression of Python's module re", FAILED) from error
