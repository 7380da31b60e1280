"""Living beside others' rule sets: Docker's, ufw's, firewalld's.

A packet that is to be forwarded passes the forward chains of all tables, and one that drops it is enough: "accept" in
minirun's own table does not help. Where a chain of somebody else's drops what it does not know (network/blocking.py),
minirun's rules go into the place that its owner has for others' rules (network/places.py); where none is known, the
user is told, once.

These rules are on record before they are made, carry the instance's name as their comment, and are there while any
container is in any network. Nothing else of others' is touched.
"""

from minirun.instance import Instance
from minirun.kernel.iptables_legacy import legacy_filter_in_use
from minirun.kernel.rulesets import nft_tables


def ensure(instance: Instance) -> list[str]:
    """Have those rules where they are needed, and nowhere else. What the user should know, when it is new.

    Where nobody else has a rule set it is one question to the kernel; where the rules are in force already, a few more.
    """
    if _is_alone() and not instance.store.places():
        return []
    from minirun.network.firewall.foreign_accept import settle

    return settle(instance)


def withdraw(instance: Instance) -> None:
    """When no container is in a network any more, all of it is taken away. The caller holds the write lock."""
    store = instance.store
    if store.has_rules_elsewhere() and not store.has_endpoints():
        from minirun.network.firewall.foreign_accept import take_all_away

        take_all_away(instance)


def mend(instance: Instance) -> None:
    """What could not be taken away when its time had come."""
    store = instance.store
    if store.has_rules_elsewhere() and not store.has_endpoints():
        with store.write():
            withdraw(instance)


def is_own(table: str) -> bool:
    """Of this instance, or of another one on this host."""
    return table == "minirun" or table.startswith("minirun_")


def _is_alone() -> bool:
    if any(legacy_filter_in_use(family) for family in ("ip", "ip6")):
        return False
    return all(is_own(table) for _, table in nft_tables())
