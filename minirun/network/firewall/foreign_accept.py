"""Putting minirun's rules into others' rule sets, and taking them away: on record first, and from the record alone."""

from minirun.instance import Instance
from minirun.model import Place
from minirun.network.firewall.foreign_chains import advice, blocking_places, reach_of
from minirun.network.firewall.foreign_places import KINDS, TOLD, Reach


def settle(instance: Instance) -> list[str]:
    """Have minirun's rules in the places where they are needed, and nowhere else. What the user should know."""
    blocking = list(blocking_places(instance))
    reach = reach_of(instance)
    wanted = _record(instance, [place for place in blocking if place.kind != TOLD], reach)
    wrong = {place: advice(place, reach) for place in blocking if place.kind == TOLD}
    for place in wanted:
        if said := _put(instance, place, reach):
            wrong[Place(TOLD, place.family, place.table, place.chain)] = f"{said}; {advice(place, reach)}"
    return _tell(instance, wrong)


def take_all_away(instance: Instance) -> None:
    """Within a transaction."""
    reach = reach_of(instance)
    for place in _in_force(instance):
        _take_away(instance, place, reach)


def _in_force(instance: Instance) -> list[Place]:
    return [place for place in instance.store.places() if place.kind != TOLD]


def _record(instance: Instance, needed: list[Place], reach: Reach) -> list[Place]:
    """Make these places, and no others, those on record; none when there is no container. Returns what it came to."""
    store = instance.store
    known = _in_force(instance)
    if set(known) == set(needed) and (not known or store.has_endpoints()):
        return needed
    with store.write():
        wanted = needed if store.has_endpoints() else []  # asked here: the last one may be going this very moment
        for place in _in_force(instance):
            if place not in wanted:
                _take_away(instance, place, reach)
        for place in wanted:
            store.add_place(place)
    return wanted


def _put(instance: Instance, place: Place, reach: Reach) -> str:
    """What is wrong, if it cannot be done: that stops no container."""
    kind = KINDS[place.kind]
    try:
        if kind.is_in_force(place, reach):
            return ""
        with instance.store.write():
            # The last container may have gone meanwhile, and taken all away.
            return kind.put(place, reach) if place in instance.store.places() else ""
    except OSError as error:
        return str(error).partition("\n")[0]


def _take_away(instance: Instance, place: Place, reach: Reach) -> None:
    """What cannot be taken away now stays on record, for the next time."""
    try:
        KINDS[place.kind].take_away(place, reach)
    except FileNotFoundError:
        pass
    except OSError:
        return
    instance.store.delete_place(place)


def _tell(instance: Instance, wrong: dict[Place, str]) -> list[str]:
    """Each once, until it is over."""
    store = instance.store
    told = {place for place in store.places() if place.kind == TOLD}
    if told == set(wrong):
        return []
    with store.write():
        for place in told - set(wrong):
            store.delete_place(place)
        return [text for place, text in wrong.items() if store.add_place(place)]
