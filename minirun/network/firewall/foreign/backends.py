"""How accept rules are added to and removed from other firewalls: one backend for each way of writing them.

A recorded place (family, table, chain) and the names of minirun's bridges are all that a backend needs.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from minirun.kernel import iptables_legacy, rulesets
from minirun.kernel.nft import nft_apply
from minirun.model import Place
from minirun.network.firewall.foreign import firewalld
from minirun.network.firewall.foreign.verdicts import legacy_verdict, nft_verdict

NFT, LEGACY, FIREWALLD = "nft", "legacy", "firewalld"
DOCKER_USER = "DOCKER-USER"
# Chains of table `filter` that their owners leave to others. Docker: "Packet filtering and firewalls" in its
# documentation; ufw: ufw-framework(8).
USER_CHAINS = (DOCKER_USER, "ufw-user-forward", "ufw6-user-forward")
LEGACY_FORWARD = "FORWARD"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_MATCHES = ("iifname", "oifname")
_DOCKER_DEFAULT_BRIDGE, _DOCKER_BRIDGES = "docker0", "br-*"


@dataclass(frozen=True, eq=False, repr=False)
class Bridges:
    """The bridges that accept rules are for.

    mark: prefix of the comment of every rule of this instance ("minirun: ")
    patterns: link names; one that ends in "*" stands for all with that prefix
    """

    mark: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class AcceptRule:
    """One rule.

    match: iifname or oifname, as nft(8) names the input and the output interface
    pattern: the interface it matches
    accepts: True accepts the packet, False returns it to the owner's own rules
    """

    match: str
    pattern: str
    accepts: bool

    def comment(self, mark: str) -> str:
        """Return the comment that identifies the rule, such as "minirun: from minirun0"."""
        direction = "from" if self.match == "iifname" else "to"
        return f"{mark}{direction} {self.pattern}{'' if self.accepts else ' is left to Docker'}"


class Backend(Protocol):
    """Accept rules in one kind of firewall. OSError when the firewall refuses or does not answer."""

    def is_applied(self, place: Place, bridges: Bridges) -> bool:
        """Return whether exactly the wanted rules are in place."""

    def add(self, place: Place, bridges: Bridges) -> str:
        """Add the rules, replacing older ones of this instance; return the problem if the firewall refuses, or ""."""

    def remove(self, place: Place, bridges: Bridges) -> bool:
        """Remove this instance's rules, by `bridges.mark` alone. Return whether there were any."""


class NftBackend:
    """A chain of nftables, written by nft or by iptables-nft, which keeps an nft rule's comment."""

    def is_applied(self, place: Place, bridges: Bridges) -> bool:
        """Compare the comments of this instance's rules, in order, with the wanted ones.

        In a base chain they must be the last that a packet meets, so that its owner's conditions come first.
        """
        rules = rulesets.rules(place.family, place.table, place.chain)
        comments = [rule.comment(bridges.mark) for rule in rules]
        wanted = [rule.comment(bridges.mark) for rule in self._wanted(place, bridges)]
        if place.chain in USER_CHAINS:
            return [comment for comment in comments if comment] == wanted
        end = nft_verdict(place.family, place.table, place.chain, True).end
        before = comments[:end]
        return before[len(before) - len(wanted) :] == wanted and sum(map(bool, comments)) == len(wanted)

    def add(self, place: Place, bridges: Bridges) -> str:
        """Replace the rules in one transaction.

        They come after all that the administrator has put there, but before what decides about every packet: a plain
        "return" at the end of Docker's chain, a rule that drops all the rest in a base chain.
        """
        rules = rulesets.rules(place.family, place.table, place.chain)
        chain = f"{place.family} {place.table} {place.chain}"
        end = nft_verdict(place.family, place.table, place.chain, True).end
        verb = f"add rule {chain}" if end is None else f"insert rule {chain} handle {rules[end].handle}"
        lines = self._deletions(place, bridges)
        for rule in self._wanted(place, bridges):
            verdict = "accept" if rule.accepts else "return"
            comment = rule.comment(bridges.mark)
            lines.append(f'{verb} {rule.match} "{rule.pattern}" counter {verdict} comment "{comment}"')
        nft_apply("\n".join(lines))
        return ""

    def remove(self, place: Place, bridges: Bridges) -> bool:
        """Delete every rule with this instance's comment by its handle."""
        if lines := self._deletions(place, bridges):
            nft_apply("\n".join(lines))
        return bool(lines)

    def _deletions(self, place: Place, bridges: Bridges) -> list[str]:
        rules = rulesets.rules(place.family, place.table, place.chain)
        chain = f"{place.family} {place.table} {place.chain}"
        return [f"delete rule {chain} handle {rule.handle}" for rule in rules if rule.comment(bridges.mark)]

    def _wanted(self, place: Place, bridges: Bridges) -> list[AcceptRule]:
        if place.chain != DOCKER_USER:
            return wanted_rules(bridges, None)
        forward = rulesets.rules(place.family, place.table, "FORWARD")
        return wanted_rules(bridges, (rule.output_interface for rule in forward if rule.jumps_to == "DOCKER"))


class LegacyBackend:
    """A chain of iptables-legacy, changed by iptables-legacy(8), the only program that can."""

    def is_applied(self, place: Place, bridges: Bridges) -> bool:
        """Compare the arguments of this instance's rules, in order, with the wanted ones; as NftBackend does."""
        rules = self._rules(place)
        own = [words[2:] for words in rules if self._is_own(words, bridges)]
        wanted = [self._arguments(rule, bridges) for rule in self._wanted(place, bridges)]
        if place.chain in USER_CHAINS:
            return own == wanted
        before = [words[2:] for words in rules][: legacy_verdict(place.family, place.chain).end]
        return own == wanted and before[len(before) - len(wanted) :] == wanted

    def add(self, place: Place, bridges: Bridges) -> str:
        """Delete older rules, then add the new ones, one call of the program each. For their place see NftBackend."""
        self.remove(place, bridges)
        end = legacy_verdict(place.family, place.chain).end
        for number, rule in enumerate(self._wanted(place, bridges), 1):
            verb = ["-A", place.chain] if end is None else ["-I", place.chain, str(end + number)]
            iptables_legacy.legacy_change(place.family, [*verb, *self._arguments(rule, bridges)])
        return ""

    def remove(self, place: Place, bridges: Bridges) -> bool:
        """Delete every rule with this instance's comment, by its arguments."""
        own = [words for words in self._rules(place) if self._is_own(words, bridges)]
        for words in own:
            iptables_legacy.legacy_change(place.family, ["-D", *words[1:]])
        return bool(own)

    def _rules(self, place: Place, chain: str = "") -> list[list[str]]:
        lines = iptables_legacy.legacy_rules(place.family, chain or place.chain) or []
        return [words for line in lines if (words := shlex.split(line))[0] == "-A"]

    def _wanted(self, place: Place, bridges: Bridges) -> list[AcceptRule]:
        if place.chain != DOCKER_USER:
            return wanted_rules(bridges, None)
        jumps = [words for words in self._rules(place, "FORWARD") if words[-2:] == ["-j", "DOCKER"] and "-o" in words]
        return wanted_rules(bridges, (words[words.index("-o") + 1] for words in jumps))

    @staticmethod
    def _is_own(words: list[str], bridges: Bridges) -> bool:
        return "--comment" in words and words[words.index("--comment") + 1].startswith(bridges.mark)

    @staticmethod
    def _arguments(rule: AcceptRule, bridges: Bridges) -> list[str]:
        option = {"iifname": "-i", "oifname": "-o"}[rule.match]
        comment = ["-m", "comment", "--comment", rule.comment(bridges.mark)]
        return [option, rule.pattern.replace("*", "+"), *comment, "-j", "ACCEPT" if rule.accepts else "RETURN"]


class FirewalldBackend:
    """A zone of firewalld; the place's chain names the interface (firewalld.py)."""

    def is_applied(self, place: Place, bridges: Bridges) -> bool:
        """Return whether the interface is in any zone."""
        return firewalld.is_bound(place.chain)

    def add(self, place: Place, bridges: Bridges) -> str:
        """Bind the interface to a zone that accepts its packets."""
        return firewalld.bind(place.chain)

    def remove(self, place: Place, bridges: Bridges) -> bool:
        """Remove the interface from minirun's zones."""
        was_bound = firewalld.is_bound(place.chain)
        firewalld.unbind(place.chain)
        return was_bound


BACKENDS: dict[str, Backend] = {NFT: NftBackend(), LEGACY: LegacyBackend(), FIREWALLD: FirewalldBackend()}


def wanted_rules(bridges: Bridges, docker_bridges: Iterable[str] | None) -> list[AcceptRule]:
    """Return the rules for one chain, in order.

    Everything from and to minirun's bridges is accepted: minirun's own table drops what must not pass.

    docker_bridges: in Docker's chain, the bridges that Docker has; None elsewhere. Packets that pass one of those are
        returned to Docker's rules, which follow: a container of minirun gets no further into Docker's networks than
        other hosts do.
    """
    accepts = [AcceptRule(match, pattern, True) for pattern in bridges.patterns for match in _MATCHES]
    if docker_bridges is None:
        return accepts
    named = {name for name in docker_bridges if _PLAIN_NAME.match(name)}  # nft could not parse an odd one
    left_to_docker = [
        AcceptRule(match, name, False) for name in sorted({_DOCKER_DEFAULT_BRIDGE, *named}) for match in _MATCHES
    ]
    other_docker = [AcceptRule(match, _DOCKER_BRIDGES, False) for match in _MATCHES]
    # minirun's bridges whose user-given name looks like one of Docker's.
    like_docker = [rule for rule in accepts if rule.pattern.startswith(_DOCKER_BRIDGES[:-1])]
    return [*left_to_docker, *like_docker, *other_docker, *(rule for rule in accepts if rule not in like_docker)]
