"""minirun run: create a container and start it."""

from minirun.cli import attach_session
from minirun.cli.app import session
from minirun.cli.container_flags import ContainerFlags, check_cidfile, check_terminal, write_cidfile
from minirun.cli.opening import open_instance, require_root
from minirun.cli.readying import WaitFlags, wait_until_ready
from minirun.cli.starting import confirm, first_launch, follow, free_name
from minirun.cli.verb import many, switch, value
from minirun.engine.start import Terms, run
from minirun.errors import FAILED, MinirunError
from minirun.kernel import terminal
from minirun.options import values

_STREAMS = ("stdin", "stdout", "stderr")


class Run(ContainerFlags, WaitFlags):
    detach = switch("detach", "d", "Run container in background and print container ID")
    sig_proxy = switch("sig-proxy", "", "Proxy received signals to the process", True)
    detach_keys = value("detach-keys", "", "Override the key sequence for detaching a container")
    attached = many("attach", "a", "Attach to STDIN, STDOUT or STDERR")

    def run(self) -> int:
        session().fail_with(FAILED)
        streams = self._streams()
        patience = self.patience(self.detach, "--detach")
        spec = self.spec(self.detach)
        if self.name:
            values.check_name(self.name)
        check_terminal(self, self.detach)
        check_cidfile(self.cidfile)
        require_root()
        instance = open_instance()
        spec = self.with_image(instance, spec)
        launch = first_launch()
        chosen = self.name or free_name(instance)
        manner = attach_session.Manner(
            output=bool(streams & {"stdout", "stderr"}),
            only=next((name for name in ("stdout", "stderr") if streams & {"stdout", "stderr"} == {name}), ""),
            stdin=self.interactive and "stdin" in streams,
            tty=self.tty,
            proxy=self.sig_proxy,
            detach_keys=attach_session.parse_detach_keys(self.detach_keys),
            end_with_reader=self.remove,
        )
        size = terminal.size_of_caller() if self.tty else (0, 0)
        container = run(instance, chosen, spec, launch, Terms(0 if self.detach else manner.flags, size))
        if self.cidfile:
            write_cidfile(self.cidfile, container.id)
        if self.detach:
            code = confirm(instance, container, launch, container.id)
            if patience is not None and code == 0:
                wait_until_ready(instance, container, patience)
            return code
        if not manner.output:
            print(container.id)
        return follow(instance, container, launch, manner)

    def _streams(self) -> set[str]:
        """What the command is attached to: all, without -a and -d."""
        wanted = {name.lower() for name in self.attached}
        if self.detach and wanted:
            raise MinirunError("Conflicting options: -a and -d", code=FAILED)
        for name in wanted - set(_STREAMS):
            raise MinirunError(
                f'invalid argument "{name}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR',
                code=FAILED,
            )
        return set() if self.detach else wanted or set(_STREAMS)
