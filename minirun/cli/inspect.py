"""minirun inspect."""

import json
from typing import Any

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.describe import describe_container, describe_network
from minirun.instance import Instance
from minirun.lookup import find_container


class Inspect(Verb):
    usage = "NAME|ID [NAME|ID...]"
    least = 1
    completes = "containers"

    def run(self) -> int:
        instance = open_instance()
        found, missing = [], []
        for name in self.words:
            described = _find(instance, name)
            if described is None:
                missing.append(name)
            else:
                found.append(described)
        print(json.dumps(found, indent=4))
        for name in missing:
            warn(f"minirun: No such object: {name}")
        return 1 if missing else 0


def _find(instance: Instance, name: str) -> dict[str, Any] | None:
    if instance.store.find_containers(name.removeprefix("/")):
        return describe_container(instance, find_container(instance.store, name))
    network = instance.store.find_network(name)
    return describe_network(instance, network) if network else None
