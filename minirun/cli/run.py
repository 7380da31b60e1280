"""minirun run: create a container and start it."""

import os
from typing import Annotated

import typer

from minirun import attach, parse
from minirun.cli.app import exit_with, session
from minirun.cli.opening import open_instance, require_root
from minirun.cli.starting import confirm, first_launch, follow, free_name
from minirun.engine import Terms, run
from minirun.errors import FAILED, MinirunError
from minirun.image.store import default_command
from minirun.model import Spec

SETTINGS = {"allow_interspersed_args": False, "ignore_unknown_options": False}


def command(
    image: Annotated[str, typer.Argument(metavar="IMAGE")],
    argv: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG...]")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in background and print container ID")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Keep STDIN open")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Allocate a pseudo-TTY")] = False,
    remove: Annotated[bool, typer.Option("--rm", help="Remove the container when it exits")] = False,
    name: Annotated[str | None, typer.Option("--name", help="Assign a name to the container")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="Set environment variables")] = None,
    volume: Annotated[list[str] | None, typer.Option("--volume", "-v", help="Bind mount HOST:CONTAINER[:ro]")] = None,
    workdir: Annotated[str, typer.Option("--workdir", "-w", help="Working directory in the container")] = "/",
    user: Annotated[str, typer.Option("--user", "-u", help="Username or UID (format: <name|uid>[:<group|gid>])")] = "",
    hostname: Annotated[str | None, typer.Option("--hostname", help="Container host name")] = None,
    entrypoint: Annotated[str | None, typer.Option("--entrypoint", help="Program that COMMAND is given to")] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option("--publish", "-p", help="Publish ports: [[ADDRESS:][HOST]:]CONTAINER[/PROTO]"),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", "--net", help="host, bridge, none, container:NAME, or a network (repeatable)"),
    ] = None,
    ip: Annotated[str | None, typer.Option("--ip", help="IPv4 address in the first network")] = None,
    init: Annotated[bool, typer.Option("--init", help="Run an init that forwards signals and reaps processes")] = False,
    restart: Annotated[str, typer.Option("--restart", help="Restart policy to apply when a container exits")] = "no",
    sig_proxy: Annotated[
        bool, typer.Option("--sig-proxy/--no-sig-proxy", help="Proxy received signals to the process")
    ] = True,
    detach_keys: Annotated[str, typer.Option("--detach-keys", help="Key sequence for detaching")] = "",
) -> None:
    session().fail_with(FAILED)
    spec = Spec(
        image=image,
        argv=_argv(image, entrypoint, argv or []),
        env=parse.parse_env(env or []),
        workdir=_workdir(workdir),
        user=user,
        hostname="" if hostname is None else parse.check_hostname(hostname),
        tty=tty,
        interactive=interactive,
        auto_remove=remove,
        init=init,
        restart=parse.parse_restart(restart, remove),
        detach=detach,
        network=parse.parse_network(network or [], ip),
        ports=parse.parse_ports(publish or []),
        mounts=tuple(parse.parse_volume(text) for text in volume or []),
    )
    if name is not None:
        parse.check_name(name)
    if tty and interactive and not detach and not os.isatty(0):
        raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")
    require_root()
    instance = open_instance()
    launch = first_launch()
    chosen = name or free_name(instance)
    manner = attach.Manner(
        output=not detach,
        stdin=interactive and not detach,
        tty=tty,
        proxy=sig_proxy,
        detach_keys=attach.parse_detach_keys(detach_keys),
        end_with_reader=remove,
    )
    size = attach.size_of_terminal() if tty else (0, 0)
    container = run(instance, chosen, spec, launch, Terms(0 if detach else manner.flags, size))
    if detach:
        exit_with(confirm(instance, container, launch, container.id))
    exit_with(follow(instance, container, launch.channel, manner))


def _argv(image: str, entrypoint: str | None, words: list[str]) -> tuple[str, ...]:
    """--entrypoint replaces the program and drops the image's own command, as Docker has it."""
    if entrypoint:
        return (entrypoint, *words)
    argv = tuple(words) or default_command(image)
    if not argv[0]:
        raise MinirunError('exec: "": executable file not found in $PATH', code=127)
    return argv


def _workdir(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise MinirunError(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return path
