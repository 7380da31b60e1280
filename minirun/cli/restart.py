"""minirun restart."""

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.start import start_all
from minirun.cli.starting import first_launch
from minirun.cli.stop import Ending
from minirun.engine.stop import keep_no_longer, stop_keeping
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container
from minirun.store.lookup import find_container


class Restart(Ending):
    completes = "containers"

    def run(self) -> int:
        instance = open_instance()
        number = self.wanted_signal
        stopped: dict[str, Container] = {}
        for reference in self.words:
            if found := self._stop(instance, reference, number):
                stopped[reference] = found
        failed = start_all(instance, list(stopped), first_launch())
        for container in stopped.values():
            keep_no_longer(instance, container)
        return 1 if failed or len(stopped) < len(set(self.words)) else 0

    def _stop(self, instance: Instance, reference: str, number: int | None) -> Container | None:
        """The container as it was, or None when there is none."""
        try:
            container = find_container(instance.store, reference)
            stop_keeping(instance, container, number, self.limit(container))
        except MinirunError as error:
            warn(f"minirun: {error.message}")
            return None
        return container
