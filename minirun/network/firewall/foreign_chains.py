"""Which chains of others drop what minirun forwards, and whether they have a place for minirun's rules."""

from collections.abc import Iterator

from minirun.instance import Instance
from minirun.kernel import iptables_legacy, rulesets
from minirun.kernel.rulesets import nft_tables
from minirun.model import Place
from minirun.network.firewall.foreign import is_own
from minirun.network.firewall.foreign_places import CHAINS, FIREWALLD, LEGACY, NFT, TOLD, Reach

_TABLE = "filter"
_LEGACY = "filter (iptables-legacy)"
_LEGACY_ENDS = ("-A FORWARD -j DROP", "-A FORWARD -j REJECT")
_UNNAMED = "mr-"  # how bridges begin that the user has given no name: one pattern stands for all of them
_DAEMON = ("inet", "firewalld")


def blocking_places(instance: Instance) -> Iterator[Place]:
    """The places where something has to be said, because a chain there drops what is forwarded. Those of kind "told"
    are chains themselves, of which no place is known."""
    foreign = {(family, table) for family, table in nft_tables() if not is_own(table)}
    families = ("ip", "ip6") if any(six for _, six in instance.store.bridges()) else ("ip",)
    foreign = {(family, table) for family, table in foreign if family in (*families, "inet")}
    if foreign:
        chains = list(rulesets.chains(foreign))
        names = {(chain.family, chain.table, chain.name) for chain in chains}
        for chain in chains:
            if chain.hook == rulesets.FORWARD and _drops(chain):
                yield from _places(instance, chain, names)
    for family in families:
        if iptables_legacy.legacy_filter_in_use(family):
            yield from _legacy_places(family)


def _drops(chain: rulesets.Chain) -> bool:
    """By its policy, or by a last rule that is for everything."""
    if chain.drops:
        return True
    found = rulesets.rules(chain.family, chain.table, chain.name)
    return bool(found) and found[-1].ends_all


def _places(instance: Instance, chain: rulesets.Chain, names: set[tuple[str, str, str]]) -> list[Place]:
    if (chain.family, chain.table) == _DAEMON:
        return [Place(FIREWALLD, chain.family, chain.table, name) for name in reach_of(instance).patterns]
    there = [name for name in CHAINS if (chain.family, chain.table, name) in names and chain.table == _TABLE]
    found = [Place(NFT, chain.family, chain.table, name) for name in there]
    return found or [Place(TOLD, chain.family, chain.table, chain.name)]


def _legacy_places(family: str) -> list[Place]:
    try:
        forward = iptables_legacy.legacy_rules(family, "FORWARD") or []
        if not forward or not (forward[0] == "-P FORWARD DROP" or forward[-1].startswith(_LEGACY_ENDS)):
            return []
        there = [name for name in CHAINS if iptables_legacy.legacy_rules(family, name) is not None]
    except FileNotFoundError:  # what they do cannot be found out
        there = []
    return [Place(LEGACY, family, _TABLE, name) for name in there] or [Place(TOLD, family, _LEGACY, "FORWARD")]


def reach_of(instance: Instance) -> Reach:
    names = {f"{_UNNAMED}*" if name.startswith(_UNNAMED) else name for name, _ in instance.store.bridges()}
    return Reach(f"{instance.table}: ", tuple(sorted(names)))


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
