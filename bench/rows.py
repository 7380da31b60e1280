"""What is measured: each row with its unit, its words, and what is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.targets import Target, no_more_than, of_floor, of_row, than_row, versus


@dataclass(frozen=True)
class Row:
    title: str
    unit: str = "ms"
    targets: tuple[Target, ...] = ()
    more_is_better: bool = False
    alone: bool = False  # drawn to a scale of its own


@dataclass(frozen=True)
class Group:
    """Rows that are measured together and stand in one table."""

    title: str
    rows: Mapping[str, Row]
    long: bool = False  # minutes, not seconds: --quick leaves it out


_RUN = ("run", "--rm")
# The words after the engine's name; Row.title is how they are written.
WORDS: Mapping[str, tuple[str, ...]] = {
    "none": (*_RUN, "--net=none", "busybox", "true"),
    "host": (*_RUN, "--net=host", "busybox", "true"),
    "container": (*_RUN, "--net=container:web", "busybox", "true"),
    "bridge": (*_RUN, "busybox", "true"),
    "publish": (*_RUN, "-p", "18080:80", "busybox", "true"),
    "network": (*_RUN, "--net=lab", "busybox", "true"),
    "exec": ("exec", "web", "true"),
    "ps": ("ps",),
    "inspect": ("inspect", "web"),
    "networks": ("network", "ls"),
    "help": ("--help",),
}
_BORROWED = (versus("docker", 0.18),)
_LOOKING = (versus("docker", 0.5),)
_TRAFFIC = (versus("docker", 0.98, at_least=True),)
_PAST_THE_PROXY = (versus("docker", 2, at_least=True),)
_PULL = (versus("docker", 0.7), versus("podman", 0.7))
_ARCHIVES = (versus("docker", 1.0),)

GROUPS: Mapping[str, Group] = {
    "commands": Group(
        "Wall time of one command",
        {
            "none": Row("run --rm, none", targets=(versus("docker", 0.12), of_floor("floor-none", 5))),
            "host": Row("run --rm, host", targets=_BORROWED),
            "container": Row("run --rm, container:", targets=_BORROWED),
            "bridge": Row("run --rm, bridge", targets=(versus("docker", 0.10), of_floor("floor-bridge", 5))),
            "publish": Row("run --rm, bridge, -p", targets=(versus("docker", 0.08),)),
            "network": Row("run --rm, custom network with DNS", targets=(versus("docker", 0.08),)),
            "exec": Row("exec web true", targets=(versus("docker", 0.25),)),
            "ps": Row("ps", targets=_LOOKING),
            "inspect": Row("inspect web", targets=_LOOKING),
            "networks": Row("network ls", targets=_LOOKING),
            "help": Row("--help", targets=_LOOKING),
            "cold": Row(
                "run --rm, bridge: the first command, no fork server yet",
                targets=(than_row("bridge", "docker", 1.0),),
            ),
        },
    ),
    "parallel": Group(
        "16 commands at once",
        {"sixteen": Row("run --rm, bridge: all 16"), "sixteen-none": Row("run --rm, none: all 16")},
    ),
    "floors": Group(
        "What lies below, whatever the engine",
        {
            "python": Row("python3 -c pass"),
            "sqlite": Row("python3 -c 'import sqlite3; ...', one select"),
            "floor-none": Row("none: the kernel's part alone (floor.c)"),
            "floor-bridge": Row("bridge: the kernel's part alone (floor.c)"),
        },
    ),
    "traffic": Group(
        "TCP to a container: one stream, and one byte there and back",
        {
            "speed-outside": Row("published port, from outside", "Gbit/s", _TRAFFIC, True),
            "trips-outside": Row("published port, from outside: round trips", "1000/s", _TRAFFIC, True),
            "speed-loopback": Row("published port, over 127.0.0.1", "Gbit/s", _PAST_THE_PROXY, True),
            "trips-loopback": Row("published port, over 127.0.0.1: round trips", "1000/s", _PAST_THE_PROXY, True),
            "speed-between": Row("container to container, one bridge", "Gbit/s", _TRAFFIC, True),
            "trips-between": Row("container to container, one bridge: round trips", "1000/s", _TRAFFIC, True),
        },
    ),
    "hundred": Group(
        "100 containers, several commands at once",
        {
            "hundred-all": Row("run -d and rm -f of all", "s", (versus("docker", 0.20),)),
            "hundred-run": Row("of that, run -d", "s"),
            "hundred-rm": Row("of that, rm -f", "s"),
        },
    ),
    "memory": Group(
        "Memory, PSS of every process that is there because of it",
        {
            "memory-bare": Row("one idle container, its own program excluded", "MiB", (no_more_than(0.5, "MiB"),)),
            "memory-port": Row("the same with one -p", "MiB", (versus("docker", 1.0),)),
            "memory-daemons": Row(
                "the daemons or the fork server, once", "MiB", (no_more_than(60, "MiB"),), alone=True
            ),
        },
    ),
    "images": Group(
        "An image of 200 MB in 6 layers",
        {
            "image-pull": Row("pull, from a registry on loopback", "s", _PULL),
            "image-killed": Row(
                "pull after one that was killed at half: received", "% of it", (no_more_than(51, "%"),), alone=True
            ),
            "image-load": Row("load", "s", _ARCHIVES),
            "image-save": Row("save, the image was pulled", "s", _ARCHIVES),
            "image-save-loaded": Row("save, the image was loaded", "s", _ARCHIVES),
        },
    ),
    "api": Group(
        "docker's client on the Engine API: minirun's service, and dockerd",
        {
            "api-run": Row("docker run --rm busybox true", targets=(versus("docker", 0.5),)),
            "api-list": Row("GET /containers/json, 100 containers", targets=(versus("docker", 1.0),)),
            "api-attach": Row("1 GiB of output by attach", "MiB/s", (versus("docker", 1.0, at_least=True),), True),
            "api-memory": Row("the idle service", "MiB", (no_more_than(40, "MiB"),), alone=True),
        },
    ),
    "builds": Group(
        "build, a Dockerfile of 20 steps (Docker: its classic builder)",
        {
            "build-all": Row("all steps executed", "s"),
            "build-cached": Row("all steps cached", "ms", (versus("docker", 0.5),)),
        },
    ),
    "testing": Group(
        "pytest, 50 tests with real servers: minirun's plugin, and testcontainers with Docker",
        {
            "suite": Row("all of them", "s", (versus("docker", 0.2),)),
            "suite-httpd": Row("20 with busybox httpd", "s"),
            "suite-redis": Row("15 with Redis", "s"),
            "suite-postgres": Row("15 with PostgreSQL, each with an empty database", "s"),
        },
        long=True,
    ),
    "ports": Group(
        "With 1000 ports published",
        {
            "ports-add": Row("run -d with one port more"),
            "ports-bare": Row("run -d without a port"),
            "ports-extra": Row("for adding the port: the difference", "ms", (versus("docker", 0.1),)),
            "ports-first": Row("connecting to the first published", "us"),
            "ports-last": Row("connecting to the last published", "us", (of_row("ports-first", "the first", 1.05),)),
        },
        long=True,
    ),
    "thousand": Group(
        "1000 containers on one network",
        {
            "thousand-first": Row("run -d, the first"),
            "thousand-last": Row("run -d, the 1000th", "ms", (of_row("thousand-first", "the first", 1.3),)),
        },
        long=True,
    ),
}
ROWS: Mapping[str, Row] = {name: row for group in GROUPS.values() for name, row in group.rows.items()}


def chosen(words: list[str]) -> list[str]:
    """Names of rows and of groups, as names of rows in the order of the tables, with what their targets compare with.

    KeyError says what is unknown.
    """
    wanted: set[str] = set()
    for word in words:
        wanted |= set(GROUPS[word].rows) if word in GROUPS else {word}
    if unknown := wanted - set(ROWS):
        raise KeyError(", ".join(sorted(unknown)))
    wanted |= {other for name in wanted for target in ROWS[name].targets for other in target.needs}
    return [name for name in ROWS if name in wanted]
