"""minirun ps."""

import json
import time

from minirun.cli.opening import open_instance
from minirun.cli.table import ago, print_table, span
from minirun.cli.verb import Verb, switch
from minirun.model import ACTIVE, Container, Publication, Status

_HEADERS = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")


class Ps(Verb):
    most = 0
    everything = switch("all", "a", "Show all containers (default shows just running)")
    quiet = switch("quiet", "q", "Only display container IDs")
    no_trunc = switch("no-trunc", "", "Don't truncate output")

    def run(self) -> None:
        instance = open_instance()
        shown = [item for item in instance.store.containers() if self.everything or item.status in ACTIVE]
        if self.quiet:
            for item in shown:
                print(item.id if self.no_trunc else item.short_id)
            return
        rows = []
        for item in shown:
            rows.append(
                (
                    item.id if self.no_trunc else item.short_id,
                    item.spec.image,
                    command_of(item, self.no_trunc),
                    ago(item.created),
                    status_of(item),
                    ", ".join(port_text(port) for port in instance.store.ports(container=item.id)),
                    item.name,
                )
            )
        print_table(_HEADERS, rows)


def command_of(container: Container, whole: bool) -> str:
    text = " ".join(container.spec.argv)
    return f'"{text}"' if whole or len(text) <= 20 else f'"{text[:19]}…"'


def health_of(container: Container) -> str:
    if not container.health:
        return ""
    status = json.loads(container.health)["Status"]
    return f" (health: {status})" if status == "starting" else f" ({status})"


def status_of(container: Container) -> str:
    if container.status is Status.RUNNING:
        return f"Up {span(time.time() - container.started_at)}" + (
            " (Paused)" if container.paused else health_of(container)
        )
    if container.status is Status.RESTARTING:
        return f"Restarting ({container.exit_code}) {ago(container.finished_at)}"
    if container.status is Status.EXITED:
        return f"Exited ({container.exit_code}) {ago(container.finished_at)}"
    return container.status.capitalize()


def port_text(port: Publication) -> str:
    mapping = port.mapping
    return f"{mapping.host_address}:{mapping.host_port}->{mapping.container_port}/{mapping.protocol}"
