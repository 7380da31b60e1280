"""Diagnose a packet that a rule dropped: minirun's own, or one of another firewall."""

import re

from minirun.diagnostics.trace.journey import Diagnosis, Journey
from minirun.instance import Instance
from minirun.kernel.netlink_events import Step
from minirun.model import Container, Place
from minirun.network.dns.veth import endpoints_with_networks
from minirun.network.faults import describe_fault
from minirun.network.firewall.faults import MARK
from minirun.network.firewall.foreign.backends import BACKENDS
from minirun.network.firewall.foreign.detect import REPORTED, advice, blocking_places, bridges_of, is_own, owner_of

_OWNERS = ". It is its owner's, and minirun leaves it as it is"


def dropped_by_rule(instance: Instance, journey: Journey) -> Diagnosis | None:
    """Diagnose a packet whose last step in nftables is a drop; None for other packets."""
    step = journey.last_step
    if step is None or step.verdict != "drop" or journey.reached:
        return None
    if is_own(step.table):
        return _dropped_by_minirun(instance, journey, step)
    owner = owner_of(step.family, step.table, (step.chain,))
    chain = f"chain {step.chain} of {owner} table {step.family} {step.table}"
    if step.kind == "policy":
        sentence = f"dropped on this host by the policy of {chain}"
    else:
        sentence = f"dropped on this host by a rule in {chain}: {journey.text_of(step)}"
    places = {(place.family, place.table): place for place in blocking_places(instance)}
    place = places.get((step.family, step.table))
    if place is None:  # a chain outside the forward hook, or one that has no place for rules of others
        target = journey.target
        match = f"{target.protocol} dport {target.container_port or target.port}"
        accept = f"nft insert rule {step.family} {step.table} {step.chain} {match} accept"
        return Diagnosis(False, sentence, ("minirun network reload", accept))
    if _is_applied(instance, place):
        return Diagnosis(False, f"{sentence}{_OWNERS}", (f"nft -a list chain {step.family} {step.table} {step.chain}",))
    commands = advice(place, bridges_of(instance)).partition("To allow it: ")[2].split("; ")
    if place.kind != REPORTED:
        commands = [f"minirun network reload adds minirun's rules to {place.chain}; or:", *commands]
    return Diagnosis(False, sentence, tuple(commands))


def _is_applied(instance: Instance, place: Place) -> bool:
    """Whether minirun's rules are where they should be: then the packet met a rule that comes before them."""
    backend = BACKENDS.get(place.kind)
    return backend is not None and backend.is_applied(place, bridges_of(instance))


def _dropped_by_minirun(instance: Instance, journey: Journey, step: Step) -> Diagnosis:
    rule = journey.text_of(step)
    comment = re.search(r'comment "([^"]*)"', rule)
    reason = comment[1] if comment else rule
    if reason.startswith(MARK):
        return _dropped_by_fault(instance, reason.removeprefix(MARK).partition(":")[0])
    container, sender = journey.target.container, journey.source.container
    if container is not None and sender is None:
        port = journey.target.container_port or journey.target.port
        sentence = (
            f"dropped on this host by minirun's rule (chain {step.chain}): port {port} of {container.name} is not"
            " published, and other hosts can reach only published ports"
        )
        publish = f"minirun port add {container.name} {port}:{port}"
        return Diagnosis(False, sentence, (publish, f"or run it with -p {port}:{port}"))
    isolated = _isolated(instance, sender, container, step) if sender and container else None
    chain = f"{step.family} {step.table}, chain {step.chain}"
    return isolated or Diagnosis(False, f"dropped on this host by minirun's rule ({chain}): {reason}")


def _dropped_by_fault(instance: Instance, fault_id: str) -> Diagnosis:
    """Diagnose a packet that a fault on purpose has dropped."""
    fault = instance.store.fault(fault_id)
    what = describe_fault(instance, fault) if fault else "healed meanwhile"
    return Diagnosis(False, f"dropped by fault {fault_id}: {what}", (f"minirun fault rm {fault_id}",))


def _isolated(instance: Instance, sender: Container, container: Container, step: Step) -> Diagnosis | None:
    """Diagnose a packet between two containers that share no network; None if they share one."""
    senders = [network for _, network in endpoints_with_networks(instance, sender.sandbox)]
    targets = [network for _, network in endpoints_with_networks(instance, container.sandbox)]
    if {network.id for network in senders} & {network.id for network in targets}:
        return None
    names = [", ".join(network.name for network in networks) or "no network" for networks in (senders, targets)]
    sentence = (
        f"dropped on this host by minirun's rule (chain {step.chain}): {sender.name} is in {names[0]},"
        f" {container.name} is in {names[1]}, and networks are isolated from each other"
    )
    return Diagnosis(False, sentence, tuple(f"minirun network connect {net.name} {sender.name}" for net in targets[:1]))


def dropped_by_iptables_legacy(instance: Instance, journey: Journey) -> Diagnosis | None:
    """Diagnose a packet that was lost on this host while iptables-legacy, which cannot be traced, drops packets."""
    if journey.reached or not journey.at("host"):
        return None
    legacy = [place for place in blocking_places(instance) if "legacy" in place.table or place.kind == "legacy"]
    if not legacy:
        return None
    if _is_applied(instance, legacy[0]):
        program = "iptables-legacy" if legacy[0].family == "ip" else "ip6tables-legacy"
        sentence = f"dropped on this host, probably by a rule of iptables-legacy{_OWNERS}"
        return Diagnosis(False, sentence, (f"{program} -vnL",))
    text = advice(legacy[0], bridges_of(instance)).removeprefix("containers may be cut off: ")
    what, _, commands = text.partition(". To allow it: ")
    sentence = f"dropped on this host, probably by iptables-legacy: {what}"
    return Diagnosis(False, sentence, tuple(commands.split("; ")))
