"""Living beside others' rule sets: Docker's, ufw's, firewalld's.

A packet that is to be forwarded passes the forward chains of all tables, and one that drops it is enough: "accept" in
minirun's own table does not help. Where a chain of somebody else's drops what it does not know, minirun's rules go into
the place that its owner has for others' rules (network/places.py); where none is known, the user is told, once.

These rules are on record before they are made, carry the instance's name as their comment, and are there while any
container is in any network. Nothing else of others' is touched.
"""

from collections.abc import Iterator

from minirun.instance import Instance
from minirun.kernel import legacy, rulesets
from minirun.model import Place
from minirun.network.places import CHAINS, FIREWALLD, KINDS, LEGACY, NFT, TOLD, Reach

_TABLE = "filter"
_LEGACY = "filter (iptables-legacy)"
_UNNAMED = "mr-"  # how bridges begin that the user has given no name: one pattern stands for all of them
_DAEMON = ("inet", "firewalld")


def ensure(instance: Instance) -> list[str]:
    """Have minirun's rules where they are needed, and nowhere else. What the user should know, when it is new.

    Cheap where nobody else has a rule set: one question to the kernel. Where the rules are in force already, it is a
    few more.
    """
    store = instance.store
    known = store.places()
    blocking = list(_blocking(instance))
    if not blocking and not known:
        return []
    reach = _reach(instance)
    wanted = [place for place in blocking if place.kind != TOLD] if store.has_endpoints() else []
    stale = [place for place in known if place.kind != TOLD and place not in wanted]
    if stale or not set(wanted) <= set(known):
        with store.write():
            for place in stale:
                _take_away(instance, place, reach)
            for place in wanted:
                store.add_place(place)
    wrong = {place: advice(place, reach) for place in blocking if place.kind == TOLD}
    for place in wanted:
        if said := _put(instance, place, reach):
            wrong[Place(TOLD, place.family, place.table, place.chain)] = f"{said}; {advice(place, reach)}"
    return _tell(instance, wrong)


def withdraw(instance: Instance) -> None:
    """After a container has gone: without any, all is taken away. The caller holds the write lock."""
    known = [place for place in instance.store.places() if place.kind != TOLD]
    if known and not instance.store.has_endpoints():
        for place in known:
            _take_away(instance, place, _reach(instance))


def advice(place: Place, reach: Reach) -> str:
    """Which chain drops, and what one would type to let minirun's packets pass it."""
    names = [name.replace("*", "+") for name in reach.patterns]
    if (place.family, place.table) == _DAEMON:
        what = "firewalld rejects what it has in no zone"
        commands = [f"firewall-cmd --zone=trusted --add-interface={name}" for name in names]
    elif place.table == _LEGACY or place.kind == LEGACY:
        what = f"the chain {place.chain} of iptables-legacy's table filter drops what is forwarded"
        program = "iptables-legacy" if place.family == "ip" else "ip6tables-legacy"
        commands = [f"{program} -I {place.chain} {way} {name} -j ACCEPT" for name in names for way in ("-i", "-o")]
    else:
        where = f"{place.family} {place.table} {place.chain}"
        what = f"the chain {place.chain} of nftables' table {place.family} {place.table} drops what is forwarded"
        ways = ("iifname", "oifname")
        commands = [f"nft insert rule {where} {way} '\"{name}\"' accept" for name in reach.patterns for way in ways]
    return f"containers may be cut off: {what}. To allow it: {'; '.join(commands)}"


def _blocking(instance: Instance) -> Iterator[Place]:
    """The places where something has to be said, because a chain there drops what is forwarded. Those of kind "told"
    are chains themselves, of which no place is known."""
    foreign = {(family, table) for family, table in rulesets.tables() if not _is_own(table)}
    families = ("ip", "ip6") if any(six for _, six in instance.store.bridges()) else ("ip",)
    foreign = {(family, table) for family, table in foreign if family in (*families, "inet")}
    if foreign:
        chains = list(rulesets.chains(foreign))
        names = {(chain.family, chain.table, chain.name) for chain in chains}
        for chain in chains:
            if chain.hook == rulesets.FORWARD and _drops(chain):
                yield from _places(instance, chain, names)
    for family in families:
        if legacy.legacy_filter_in_use(family):
            yield from _legacy_places(family)


def _is_own(table: str) -> bool:
    """Of this instance, or of another one on this host."""
    return table == "minirun" or table.startswith("minirun_")


def _drops(chain: rulesets.Chain) -> bool:
    """By its policy, or by a last rule that is for everything."""
    if chain.drops:
        return True
    found = rulesets.rules(chain.family, chain.table, chain.name)
    return bool(found) and found[-1].ends_all


def _places(instance: Instance, chain: rulesets.Chain, names: set[tuple[str, str, str]]) -> list[Place]:
    if (chain.family, chain.table) == _DAEMON:
        return [Place(FIREWALLD, chain.family, chain.table, name) for name in _reach(instance).patterns]
    there = [name for name in CHAINS if (chain.family, chain.table, name) in names and chain.table == _TABLE]
    found = [Place(NFT, chain.family, chain.table, name) for name in there]
    return found or [Place(TOLD, chain.family, chain.table, chain.name)]


def _legacy_places(family: str) -> list[Place]:
    try:
        forward = legacy.legacy_rules(family, "FORWARD") or []
        if not forward or not (forward[0] == "-P FORWARD DROP" or forward[-1].startswith(_LEGACY_ENDS)):
            return []
        there = [name for name in CHAINS if legacy.legacy_rules(family, name) is not None]
    except FileNotFoundError:  # what they do cannot be found out
        there = []
    return [Place(LEGACY, family, _TABLE, name) for name in there] or [Place(TOLD, family, _LEGACY, "FORWARD")]


_LEGACY_ENDS = ("-A FORWARD -j DROP", "-A FORWARD -j REJECT")


def _reach(instance: Instance) -> Reach:
    names = {f"{_UNNAMED}*" if name.startswith(_UNNAMED) else name for name, _ in instance.store.bridges()}
    return Reach(f"{instance.table}: ", tuple(sorted(names)))


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
