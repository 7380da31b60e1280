"""One verb over several containers: each is tried, each failure is told, the exit code is 1 if any failed."""

from collections.abc import Callable

from minirun.cli.app import exit_with, warn
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.lookup import find_container
from minirun.model import Container


def for_each(
    instance: Instance, references: list[str], act: Callable[[Container], None], missing_is_fine: bool = False
) -> None:
    """`missing_is_fine` for rm -f: whoever else removed it, also while this looks, did what was asked for."""
    failed = False
    for reference in references:
        try:
            act(find_container(instance.store, reference))
            print(reference)
        except NotFoundError as error:
            if not missing_is_fine:
                warn(f"minirun: {error.message}")
                failed = True
        except MinirunError as error:
            warn(f"minirun: {error.message}" + (f"\n{error.hint}" if error.hint else ""))
            failed = True
    exit_with(1 if failed else 0)
