"""Removing what one instance has on this host, as the kernel shows it: for a reset, whose records may be lost.

Names lead to it: of the tables, in the aliases of links, in the comments of rules in foreign firewalls. Each step may
run twice, and finds nothing that belongs to another instance or another program.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from minirun.instance import StateRoot
from minirun.kernel.host_reset import host_settings, remove_pins_directory
from minirun.kernel.link_queries import Interface, interfaces
from minirun.kernel.links import link_del
from minirun.kernel.netns import entered, netns_del, netns_inode, netns_names
from minirun.kernel.nft import nft_apply
from minirun.kernel.rulesets import nft_tables
from minirun.network.dns import server_control
from minirun.network.firewall import foreign


@dataclass(frozen=True)
class ResetReport:
    """What a reset did.

    removed: names, by kind
    notes: how it was done, where not by the records
    kept: what was left on purpose, a sentence each
    failed: what could not be removed, a sentence each
    """

    removed: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, kind: str, *names: str) -> None:
        """Add to what was removed."""
        if names:
            self.removed.setdefault(kind, []).extend(names)


Step = Callable[[StateRoot, ResetReport], None]


def steps_on_host(sandboxes: Collection[int]) -> dict[str, Step]:
    """Return the steps in their order, by what each removes.

    sandboxes: inodes of the network namespaces of containers whose names are not on record
    """
    return {
        "the DNS server": _end_dns_server,
        "pinned network namespaces": lambda place, report: _remove_pins(place, report, sandboxes),
        "interfaces": _remove_links,
        "accept rules in other firewalls": lambda place, report: report.add("rules", *foreign.remove_marked(place)),
        "nftables tables": _remove_tables,
        "sysctls": _restore_settings,
    }


def _end_dns_server(place: StateRoot, report: ResetReport) -> None:
    if server_control.stop(place):
        report.add("processes", "DNS server")


def _remove_pins(place: StateRoot, report: ResetReport, sandboxes: Collection[int]) -> None:
    """Of containers that run, by the namespace; of others, by the veth that leads into it."""
    veths = [link for link in interfaces() if link.alias.startswith(f"{place.label} ")]
    for name in netns_names():
        try:
            is_own = netns_inode(name) in sandboxes or _is_behind(name, veths)
        except OSError:  # a file that no namespace is mounted on, or removed meanwhile
            continue
        if is_own:
            netns_del(name)
            report.add("namespaces", name)
    remove_pins_directory()


def _is_behind(name: str, veths: list[Interface]) -> bool:
    """Whether the other end of one of these veths is in the namespace of that name."""
    ends = {(veth.peer, veth.index) for veth in veths if veth.kind == "veth"}
    if not ends:
        return False
    with entered(name):
        return any((link.index, link.peer) in ends for link in interfaces() if link.kind == "veth")


def _remove_links(place: StateRoot, report: ResetReport) -> None:
    for link in interfaces():
        if link.alias.startswith(f"{place.label} "):
            link_del(link.name)
            report.add("interfaces", link.name)


def _remove_tables(place: StateRoot, report: ResetReport) -> None:
    if ("inet", place.table) in nft_tables():
        report.add("rules", f"nft tables inet {place.table} and bridge {place.table}")
    for family in ("bridge", "inet"):  # adding first makes deleting right when there is none
        nft_apply(f"add table {family} {place.table}\ndelete table {family} {place.table}")


def _restore_settings(place: StateRoot, report: ResetReport) -> None:
    """Restore the sysctls that minirun has changed, unless somebody has changed them since, or may need them."""
    bridges = [link.name for link in interfaces() if link.kind == "bridge"]
    for setting in host_settings():
        if not setting.is_as_written():
            setting.forget()
        elif bridges:
            report.kept.append(
                f"{setting.key} is {setting.written}, and was {setting.before} before minirun: bridge {bridges[0]} of"
                f" another program or state root may need it. sysctl -w {setting.key}={setting.before} restores it"
            )
        else:
            setting.restore()
            report.add("sysctls", f"{setting.key} = {setting.before}, as before")
