"""minirun port."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.errors import MinirunError
from minirun.lookup import find_container


class Port(Verb):
    usage = "CONTAINER [PRIVATE_PORT[/PROTO]]"
    least, most = 1, 2
    completes = "running -"

    def run(self) -> None:
        instance = open_instance()
        found = find_container(instance.store, self.words[0])
        ports = instance.store.ports(container=found.id)
        if len(self.words) == 1:
            for port in ports:
                mapping = port.mapping
                print(f"{mapping.container_port}/{mapping.protocol} -> {mapping.host_address}:{mapping.host_port}")
            return
        wanted = self.words[1] if "/" in self.words[1] else f"{self.words[1]}/tcp"
        matching = [port for port in ports if f"{port.mapping.container_port}/{port.mapping.protocol}" == wanted]
        if not matching:
            raise MinirunError(f"No public port '{wanted}' published for {found.name}")
        for port in matching:
            print(f"{port.mapping.host_address}:{port.mapping.host_port}")
