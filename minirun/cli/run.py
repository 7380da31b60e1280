"""minirun run: create a container and start it."""

import os

from minirun import attach, parse
from minirun.cli.app import session
from minirun.cli.opening import open_instance, require_root
from minirun.cli.starting import confirm, first_launch, follow, free_name
from minirun.cli.verb import Verb, many, switch, value
from minirun.engine import Terms, run
from minirun.errors import FAILED, MinirunError
from minirun.image.store import default_command
from minirun.model import Spec


class Run(Verb):
    usage = "IMAGE [COMMAND] [ARG...]"
    least = 1
    interspersed = False
    completes = "images"
    detach = switch("detach", "d", "Run container in background and print container ID")
    interactive = switch("interactive", "i", "Keep STDIN open even if not attached")
    tty = switch("tty", "t", "Allocate a pseudo-TTY")
    remove = switch("rm", "", "Automatically remove the container when it exits")
    name = value("name", "", "Assign a name to the container")
    env = many("env", "e", "Set environment variables")
    volume = many("volume", "v", "Bind mount a volume")
    workdir = value("workdir", "w", "Working directory inside the container", "/")
    user = value("user", "u", "Username or UID (format: <name|uid>[:<group|gid>])")
    hostname = value("hostname", "", "Container host name")
    entrypoint = value("entrypoint", "", "Overwrite the default ENTRYPOINT of the image")
    publish = many("publish", "p", "Publish a container's port(s) to the host")
    network = many("network", "", "Connect a container to a network", also="net")
    ip = value("ip", "", "IPv4 address (e.g., 172.30.100.104)")
    init = switch("init", "", "Run an init inside the container that forwards signals and reaps processes")
    restart = value("restart", "", "Restart policy to apply when a container exits", "no")
    sig_proxy = switch("sig-proxy", "", "Proxy received signals to the process", True)
    detach_keys = value("detach-keys", "", "Override the key sequence for detaching a container")

    def run(self) -> int:
        session().fail_with(FAILED)
        spec = self._spec()
        if self.name:
            parse.check_name(self.name)
        if self.tty and self.interactive and not self.detach and not os.isatty(0):
            raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")
        require_root()
        instance = open_instance()
        launch = first_launch()
        chosen = self.name or free_name(instance)
        manner = attach.Manner(
            output=not self.detach,
            stdin=self.interactive and not self.detach,
            tty=self.tty,
            proxy=self.sig_proxy,
            detach_keys=attach.parse_detach_keys(self.detach_keys),
            end_with_reader=self.remove,
        )
        size = attach.size_of_terminal() if self.tty else (0, 0)
        container = run(instance, chosen, spec, launch, Terms(0 if self.detach else manner.flags, size))
        if self.detach:
            return confirm(instance, container, launch, container.id)
        return follow(instance, container, launch.channel, manner)

    def _spec(self) -> Spec:
        image, *words = self.words
        return Spec(
            image=image,
            argv=_argv(image, self.entrypoint, words),
            env=parse.parse_env(self.env),
            workdir=_workdir(self.workdir),
            user=self.user,
            hostname=parse.check_hostname(self.hostname) if "hostname" in self.given else "",
            tty=self.tty,
            interactive=self.interactive,
            auto_remove=self.remove,
            init=self.init,
            restart=parse.parse_restart(self.restart, self.remove),
            detach=self.detach,
            network=parse.parse_network(self.network, self.ip if "ip" in self.given else None),
            ports=parse.parse_ports(self.publish),
            mounts=tuple(parse.parse_volume(text) for text in self.volume),
        )


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
