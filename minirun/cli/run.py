"""minirun run: create a container and start it."""

from minirun import attach, parse
from minirun.cli.app import session
from minirun.cli.container_flags import ContainerFlags, check_cidfile, check_terminal, write_cidfile
from minirun.cli.opening import open_instance, require_root
from minirun.cli.starting import confirm, first_launch, follow, free_name
from minirun.cli.verb import switch, value
from minirun.engine import Terms, run
from minirun.errors import FAILED


class Run(ContainerFlags):
    detach = switch("detach", "d", "Run container in background and print container ID")
    sig_proxy = switch("sig-proxy", "", "Proxy received signals to the process", True)
    detach_keys = value("detach-keys", "", "Override the key sequence for detaching a container")

    def run(self) -> int:
        session().fail_with(FAILED)
        spec = self.spec(self.detach)
        if self.name:
            parse.check_name(self.name)
        check_terminal(self, self.detach)
        check_cidfile(self.cidfile)
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
        if self.cidfile:
            write_cidfile(self.cidfile, container.id)
        if self.detach:
            return confirm(instance, container, launch, container.id)
        return follow(instance, container, launch.channel, manner)
