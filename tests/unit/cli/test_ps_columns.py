"""The columns PORTS and COMMAND, compared with what `docker ps` 28.2 prints."""

import pytest

from minirun.cli.container.ps import Port, command_of, displayed
from minirun.model import Container, Spec


def port(text: str) -> Port:
    """HOST:PUBLIC:PRIVATE/PROTOCOL, or PRIVATE/PROTOCOL."""
    place, _, protocol = text.partition("/")
    host, public, private = place.rsplit(":", 2) if ":" in place else ("", "0", place)
    return Port(int(private), host, int(public), protocol)


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ("", ""),
        ("90/tcp", "90/tcp"),
        ("3302/tcp 3300/tcp 3301/tcp", "3300-3302/tcp"),
        ("3300/tcp 3301/udp 3302/tcp", "3300/tcp, 3302/tcp, 3301/udp"),
        ("0.0.0.0:81:81/tcp 0.0.0.0:82:82/tcp 83/tcp", "0.0.0.0:81-82->81-82/tcp, 83/tcp"),
        ("0.0.0.0:8081:81/tcp 0.0.0.0:8082:82/tcp", "0.0.0.0:8081->81/tcp, 0.0.0.0:8082->82/tcp"),
        (
            "0.0.0.0:81:81/tcp [::]:81:81/tcp 0.0.0.0:82:82/tcp [::]:82:82/tcp [::]:84:84/tcp",
            "[::]:81-82->81-82/tcp, 0.0.0.0:81-82->81-82/tcp, [::]:84->84/tcp",
        ),
        (
            "0.0.0.0:80:80/tcp 0.0.0.0:80:80/udp 0.0.0.0:8080:80/tcp",
            "0.0.0.0:80->80/tcp, 0.0.0.0:80->80/udp, 0.0.0.0:8080->80/tcp",
        ),
        ("0.0.0.0:8080:80/tcp 9000/tcp 9001/tcp", "9000-9001/tcp, 0.0.0.0:8080->80/tcp"),
    ],
)
def test_ports(ports: str, shown: str) -> None:
    assert displayed([port(text) for text in ports.split()]) == shown


@pytest.mark.parametrize(
    ("argv", "shown", "whole"),
    [
        (["sleep", "1000"], '"sleep 1000"', '"sleep 1000"'),
        (["sh", "-c", "exit 3"], "\"sh -c 'exit 3'\"", "\"sh -c 'exit 3'\""),
        (["sh", "-c", "sleep 1000; exit '3'"], '"sh -c \'sleep 1000; …"', "\"sh -c 'sleep 1000; exit '3''\""),
        (["a b", 'c"d', "e\n", ""], '"a b c\\"d e\\n "', '"a b c\\"d e\\n "'),
        (["12345678901234567890"], '"12345678901234567890"', '"12345678901234567890"'),
        (["123456789012345678901"], '"1234567890123456789…"', '"123456789012345678901"'),
    ],
)
def test_commands(argv: list[str], shown: str, whole: str) -> None:
    container = Container(id="", name="", spec=Spec(image="", argv=tuple(argv)), created=0)
    assert (command_of(container, False), command_of(container, True)) == (shown, whole)
