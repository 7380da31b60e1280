"""One verb over several things: each is tried, each failure is told, the exit code is 1 if any failed."""

from collections.abc import Callable, Iterable, Sequence

from minirun.cli.session import warn_of
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import Container
from minirun.store.lookup import find_container


def for_each(
    references: Iterable[str],
    act: Callable[[str], object],
    missing_is_fine: bool = False,
    silent: bool = False,
    tells_missing: bool = True,
) -> int:
    """`silent`: what was done is not named. `missing_is_fine` for rm -f: whoever else removed it, also while this
    looks, did what was asked for; `tells_missing` says so all the same."""
    failed = False
    for reference in references:
        try:
            act(reference)
            if not silent:
                print(reference)
        except NotFoundError as error:
            if not missing_is_fine or tells_missing:
                warn_of(error)
            failed |= not missing_is_fine
        except MinirunError as error:
            warn_of(error)
            failed = True
    return 1 if failed else 0


def for_each_at_once(
    references: Sequence[str], begin: Callable[[str], Callable[[], object]], silent: bool = False
) -> int:
    """for_each() for what takes time: `begin` begins it, and returns what waits for its end."""
    waits: dict[str, Callable[[], object]] = {}
    failed = for_each(references, lambda reference: waits.update({reference: begin(reference)}), silent=True)
    begun = [reference for reference in references if reference in waits]
    return failed | for_each(begun, lambda reference: waits[reference](), silent=silent)


def for_each_container(
    instance: Instance,
    references: list[str],
    act: Callable[[Container], None],
    missing_is_fine: bool = False,
    silent: bool = False,
) -> int:
    """for_each() over containers by name or id."""
    return for_each(
        references, lambda reference: act(find_container(instance.store, reference)), missing_is_fine, silent
    )
