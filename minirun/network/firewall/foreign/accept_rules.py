"""Adding minirun's accept rules to other firewalls and removing them: recorded first, removed by the record alone."""

from minirun.instance import Instance, StateRoot
from minirun.kernel import iptables_legacy, rulesets
from minirun.kernel.rulesets import nft_tables
from minirun.model import Place
from minirun.network.firewall.foreign import firewalld
from minirun.network.firewall.foreign.backends import (
    BACKENDS,
    LEGACY,
    LEGACY_FORWARD,
    NFT,
    USER_CHAINS,
    Bridges,
)
from minirun.network.firewall.foreign.detect import (
    LEGACY_TABLE,
    REPORTED,
    UNNAMED,
    advice,
    blocking_places,
    bridges_of,
    host_has_no_other_rules,
    is_own,
)


def ensure(instance: Instance) -> list[str]:
    """Have accept rules exactly where they are needed, and return new warnings for the user.

    A host without other rule sets costs one question to the kernel, rules that are in place already a few more.
    """
    if host_has_no_other_rules() and not instance.store.places():
        return []
    blocking = list(blocking_places(instance))
    bridges = bridges_of(instance)
    wanted = _record(instance, [place for place in blocking if place.kind != REPORTED], bridges)
    warnings = {place: advice(place, bridges) for place in blocking if place.kind == REPORTED}
    for place in wanted:
        if problem := _add(instance, place, bridges):
            reported = Place(REPORTED, place.family, place.table, place.chain)
            warnings[reported] = f"{problem}; {advice(place, bridges)}"
    return _new_warnings(instance, warnings)


def withdraw(instance: Instance) -> None:
    """Remove all accept rules once no container is in a network any more. The caller holds the write lock."""
    store = instance.store
    if store.has_foreign_rules() and not store.has_endpoints():
        bridges = bridges_of(instance)
        for place in _recorded(instance):
            _remove(instance, place, bridges)


def remove_marked(place: StateRoot) -> list[str]:
    """Remove every accept rule that is marked with this instance's name, without its records.

    Return the chains that had some. firewalld has no marks: its zones lose the name of the default network's bridge,
    and the pattern for the others unless another instance has networks here.
    """
    mark = f"{place.table}: "
    tables = {key for key in nft_tables() if not is_own(key[1])}
    chains = [Place(NFT, chain.family, chain.table, chain.name) for chain in rulesets.chains(tables)]
    for family in filter(iptables_legacy.legacy_filter_in_use, ("ip", "ip6")):
        chains += [Place(LEGACY, family, LEGACY_TABLE, name) for name in (*USER_CHAINS, LEGACY_FORWARD)]
    changed = []
    for chain in chains:
        if BACKENDS[chain.kind].remove(chain, Bridges(mark, ())):
            changed.append(f"{chain.family} {chain.table} {chain.chain}")
    if (firewalld.FAMILY, firewalld.TABLE) in tables:
        others = any(is_own(table) and table != place.table for _, table in nft_tables())
        for pattern in [place.default_bridge, *([] if others else [f"{UNNAMED}*"])]:
            firewalld.unbind(pattern)
    return changed


def remove_leftovers(instance: Instance) -> None:
    """Remove what withdraw could not remove at its time, or a killed process has left."""
    store = instance.store
    if store.has_foreign_rules() and not store.has_endpoints():
        with store.write():
            withdraw(instance)


def _recorded(instance: Instance) -> list[Place]:
    return [place for place in instance.store.places() if place.kind != REPORTED]


def _record(instance: Instance, needed: list[Place], bridges: Bridges) -> list[Place]:
    """Make the record equal to the needed places, or empty when there is no container; return what it became."""
    store = instance.store
    recorded = _recorded(instance)
    if set(recorded) == set(needed) and (not recorded or store.has_endpoints()):
        return needed
    with store.write():
        wanted = needed if store.has_endpoints() else []  # under the lock: the last one may be leaving just now
        for place in _recorded(instance):
            if place not in wanted:
                _remove(instance, place, bridges)
        for place in wanted:
            store.add_place(place)
    return wanted


def _add(instance: Instance, place: Place, bridges: Bridges) -> str:
    """Return the problem if the rules cannot be added: it must not stop a container."""
    backend = BACKENDS[place.kind]
    try:
        if backend.is_applied(place, bridges):
            return ""
        with instance.store.write():
            # The last container may have left meanwhile and removed them all.
            return backend.add(place, bridges) if place in instance.store.places() else ""
    except OSError as error:
        return str(error).partition("\n")[0]


def _remove(instance: Instance, place: Place, bridges: Bridges) -> None:
    """What cannot be removed now stays on record for the next time."""
    try:
        BACKENDS[place.kind].remove(place, bridges)
    except FileNotFoundError:
        pass
    except OSError:
        return
    instance.store.delete_place(place)


def _new_warnings(instance: Instance, warnings: dict[Place, str]) -> list[str]:
    """Each warning once, until its cause is gone."""
    store = instance.store
    reported = {place for place in store.places() if place.kind == REPORTED}
    if reported == set(warnings):
        return []
    with store.write():
        if not store.has_endpoints():  # the last container has just left: the rules went with it, no cause did
            return []
        for place in reported - set(warnings):
            store.delete_place(place)
        return [text for place, text in warnings.items() if store.add_place(place)]
