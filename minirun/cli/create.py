"""minirun create: a container on record, that `start` will run."""

from minirun.cli.app import session
from minirun.cli.container_flags import ContainerFlags, check_cidfile, write_cidfile
from minirun.cli.opening import open_instance, require_root
from minirun.cli.starting import free_name
from minirun.engine.start import create
from minirun.errors import FAILED
from minirun.options import values


class Create(ContainerFlags):
    def run(self) -> None:
        session().fail_with(FAILED)
        spec = self.spec(detach=False)
        if self.name:
            values.check_name(self.name)
        check_cidfile(self.cidfile)
        session().fail_with(1)
        require_root()
        instance = open_instance()
        spec = self.with_image(instance, spec)
        container = create(instance, self.name or free_name(instance), spec)
        if self.cidfile:
            write_cidfile(self.cidfile, container.id)
        print(container.id)
