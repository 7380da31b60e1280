"""Whose a rule set is, as far as its name and those of its chains tell."""

from minirun.network.firewall.foreign import is_own


def owner_of(family: str, table: str, chains: tuple[str, ...]) -> str:
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
    if family in ("ip", "ip6") and table in ("filter", "nat", "mangle", "raw", "security"):
        return "iptables'"
    return "somebody else's"
