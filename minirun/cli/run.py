"""minirun run: create a container and start it."""

import os
import sys
from typing import Annotated

import typer

from minirun import attach, parse
from minirun.cli.app import exit_with, session, warn
from minirun.cli.opening import open_instance, require_root
from minirun.engine import Launch, run
from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.image.store import default_command
from minirun.instance import Instance
from minirun.lifecycle import finish
from minirun.model import Container, Spec
from minirun.names import random_name

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
        detach=detach,
        network=parse.parse_network(network or [], ip),
        ports=parse.parse_ports(publish or []),
        volumes=tuple(parse.parse_volume(text) for text in volume or []),
    )
    if name is not None:
        parse.check_name(name)
    if tty and interactive and not detach and not os.isatty(0):
        raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")
    require_root()
    instance = open_instance()
    early = session().launch
    assert early is not None, "__main__ forks a monitor for every run by root"
    launch = Launch(*early)
    container = _start(instance, name, spec, launch)
    exit_with(_follow(instance, container, launch))


def _start(instance: Instance, name: str | None, spec: Spec, launch: Launch) -> Container:
    size = attach.size_of_terminal() if spec.tty else (0, 0)
    chosen = name or _free_name(instance)
    return run(instance, chosen, spec, launch, size)


def _free_name(instance: Instance) -> str:
    for _ in range(100):
        name = random_name()
        if not instance.store.find_containers(name):
            return name
    raise ConflictError("no free random name was found", "give one with --name")


def _follow(instance: Instance, container: Container, launch: Launch) -> int:
    spec = container.spec
    attachment = attach.Attachment(launch.channel, spec.interactive and not spec.detach, spec.tty, spec.auto_remove)
    if spec.detach:
        outcome = attachment.until_started()
        if outcome is None:
            print(container.id)
            return 0
    else:
        sys.stdout.flush()
        outcome = attachment.run()
    if outcome.code < 0:
        launch.abandon()
        finish(instance, container.id, 137, "the monitor of this container was killed, and the container with it")
        warn(f"minirun: the monitor of container {container.name} was killed, and the container with it")
        return 137
    if attachment.reader_gone:
        return 141
    if outcome.text:
        warn(f"minirun: {outcome.text}")
    return outcome.code


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
