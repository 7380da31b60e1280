"""Detection of other firewalls: who owns a rule set, which chains drop forwarded packets, and where accept rules go."""

from collections.abc import Iterator

from minirun.instance import Instance
from minirun.kernel import iptables_legacy, rulesets
from minirun.kernel.rulesets import nft_tables
from minirun.model import Place
from minirun.network.firewall.foreign.backends import FIREWALLD, LEGACY, LEGACY_FORWARD, NFT, USER_CHAINS, Bridges
from minirun.network.firewall.foreign.verdicts import legacy_reached, legacy_verdict, nft_reached, nft_verdict

REPORTED = "told"  # kind of a chain that minirun cannot change: the user was told
_TABLE = "filter"
LEGACY_TABLE = "filter (iptables-legacy)"
UNNAMED = "mr-"  # prefix of bridges that the user has not named; one pattern stands for all of them
_FIREWALLD_TABLE = ("inet", "firewalld")
_BRIDGE = "bridge"
# The hooks of family bridge that a container's packets meet: on their way to the host, to another port, and back.
_BRIDGE_HOOKS = (rulesets.INPUT, rulesets.FORWARD, rulesets.OUTPUT)
_IPTABLES_TABLES = ("filter", "nat", "mangle", "raw", "security")


def is_own(table: str) -> bool:
    """Return whether an nftables table belongs to this instance of minirun or another one on this host."""
    return table == "minirun" or table.startswith("minirun_")


def owner_of(family: str, table: str, chains: tuple[str, ...]) -> str:
    """Return the owner of an nftables table in the possessive, as far as its name and those of its chains tell."""
    if is_own(table):
        return "minirun's"
    if table.startswith("docker") or any("DOCKER" in chain.upper() for chain in chains):
        return "Docker's"
    if any(chain.startswith("ufw") for chain in chains):
        return "ufw's"
    if table == "firewalld":
        return "firewalld's"
    if any(chain.startswith(("CNI", "NETAVARK")) for chain in chains) or table == "netavark":
        return "podman's"
    if family in ("ip", "ip6") and table in _IPTABLES_TABLES:
        return "iptables'"
    return "another program's"


def host_has_no_other_rules() -> bool:
    """Return whether all nftables tables are minirun's and iptables-legacy is not in use."""
    if any(iptables_legacy.legacy_filter_in_use(family) for family in ("ip", "ip6")):
        return False
    return all(is_own(table) for _, table in nft_tables())


def blocking_places(instance: Instance) -> Iterator[Place]:
    """Yield where accept rules are needed, because a chain there drops forwarded packets.

    It is the chain that its owner leaves to others, or the chain itself. One of kind REPORTED cannot be changed. IPv6
    chains count only while a network has IPv6.
    """
    families = ("ip", "ip6") if any(has_ipv6 for _, has_ipv6 in instance.store.bridges()) else ("ip",)
    tables = {(family, table) for family, table in nft_tables() if not is_own(table)}
    tables = {(family, table) for family, table in tables if family in (*families, "inet", _BRIDGE)}
    if tables:
        bridges = bridges_of(instance)
        chains = list(rulesets.chains(tables))
        names = {key_of(chain) for chain in chains}
        for chain in chains:
            hooks = _BRIDGE_HOOKS if chain.family == _BRIDGE else (rulesets.FORWARD,)
            if chain.hook in hooks and nft_verdict(*key_of(chain), chain.drops).drops:
                yield from _places(chain, names, bridges)
    for family in families:
        if iptables_legacy.legacy_filter_in_use(family):
            yield from _legacy_places(family)


def key_of(chain: rulesets.Chain) -> tuple[str, str, str]:
    """Return a chain's family, table and name."""
    return chain.family, chain.table, chain.name


def bridges_of(instance: Instance) -> Bridges:
    """Return the bridges that accept rules are for: those of all networks on record."""
    names = {f"{UNNAMED}*" if name.startswith(UNNAMED) else name for name, _ in instance.store.bridges()}
    return Bridges(f"{instance.table}: ", tuple(sorted(names)))


def advice(place: Place, bridges: Bridges) -> str:
    """Return a warning that names the chain that drops, and the commands that let minirun's packets pass."""
    names = [name.replace("*", "+") for name in bridges.patterns]
    if (place.family, place.table) == _FIREWALLD_TABLE:
        problem = "firewalld rejects packets of interfaces that are in no zone"
        commands = [f"firewall-cmd --zone=trusted --add-interface={name}" for name in names]
    elif place.table == LEGACY_TABLE or place.kind == LEGACY:
        problem = f"chain {place.chain} of iptables-legacy table filter drops forwarded packets"
        program = "iptables-legacy" if place.family == "ip" else "ip6tables-legacy"
        commands = [
            f"{program} -I {place.chain} {option} {name} -j ACCEPT" for name in names for option in ("-i", "-o")
        ]
    else:
        chain = f"{place.family} {place.table} {place.chain}"
        matches = ("meta ibrname", "meta obrname") if place.family == _BRIDGE else ("iifname", "oifname")
        kind = "bridged" if place.family == _BRIDGE else "forwarded"
        problem = f"chain {place.chain} of nftables table {place.family} {place.table} drops {kind} packets"
        commands = [
            f"nft insert rule {chain} {match} '\"{name}\"' accept" for name in bridges.patterns for match in matches
        ]
    return f"containers may be cut off: {problem}. To allow it: {'; '.join(commands)}"


def _places(chain: rulesets.Chain, names: set[tuple[str, str, str]], bridges: Bridges) -> list[Place]:
    family, table = chain.family, chain.table
    if family == _BRIDGE:  # its rules can name a bridge only where the kernel has nft_meta_bridge
        return [Place(REPORTED, family, table, chain.name)]
    if (family, table) == _FIREWALLD_TABLE:
        return [Place(FIREWALLD, family, table, pattern) for pattern in bridges.patterns]
    given = [name for name in USER_CHAINS if table == _TABLE and (family, table, name) in names]
    reached = nft_reached(family, table, chain.name) if given else set()
    present = [name for name in given if name in reached]
    return [Place(NFT, family, table, name) for name in present or [chain.name]]


def _legacy_places(family: str) -> list[Place]:
    try:
        if not legacy_verdict(family, LEGACY_FORWARD).drops:
            return []
        reached = legacy_reached(family, LEGACY_FORWARD)
    except FileNotFoundError:  # without the program the rules can neither be read nor changed
        return [Place(REPORTED, family, LEGACY_TABLE, LEGACY_FORWARD)]
    present = [name for name in USER_CHAINS if name in reached]
    return [Place(LEGACY, family, _TABLE, name) for name in present or [LEGACY_FORWARD]]
