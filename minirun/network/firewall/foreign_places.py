"""The places that others have in their rule sets for rules like minirun's, and how these get there and away again.

A place on record and the names of the bridges are all that it takes.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from minirun.kernel import iptables_legacy, rulesets
from minirun.kernel.nft import nft_apply
from minirun.model import Place

NFT, LEGACY, FIREWALLD, TOLD = "nft", "legacy", "firewalld", "told"
DOCKER = "DOCKER-USER"
# Chains of the table `filter`. Docker: "Docker and iptables", ufw: ufw-framework(8).
CHAINS = (DOCKER, "ufw-user-forward", "ufw6-user-forward")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")
_WAYS = ("iifname", "oifname")
_DOCKERS_FIRST, _DOCKERS_OTHERS = "docker0", "br-*"


@dataclass(frozen=True, eq=False, repr=False)  # cheap to make: on the path of each start
class Reach:
    """Whom the rules are for."""

    mark: str  # with which the comment of each rule of this instance begins
    patterns: tuple[str, ...]  # the names of its bridges; one that ends in "*" stands for many


@dataclass(frozen=True, eq=False, repr=False)  # cheap to make: on the path of each start
class Wanted:
    """One rule: the interface by which a packet comes or goes, and whether it then may pass, or goes on."""

    way: str
    pattern: str
    passes: bool

    def comment(self, mark: str) -> str:
        where = "from" if self.way == "iifname" else "to"
        return f"{mark}{where} {self.pattern}{'' if self.passes else ' is not for minirun to say'}"


class Kind(Protocol):
    def is_in_force(self, place: Place, reach: Reach) -> bool: ...

    def put(self, place: Place, reach: Reach) -> str:
        """What is wrong, if it cannot be done. What is there already, of this or an older reach, is replaced."""

    def take_away(self, place: Place, reach: Reach) -> None:
        """Gone already is fine."""


class Nft:
    """A chain of nftables, written by nft or by iptables-nft, which takes a rule's comment for one of its own."""

    def is_in_force(self, place: Place, reach: Reach) -> bool:
        found = rulesets.rules(place.family, place.table, place.chain)
        there = [comment for rule in found if (comment := rule.comment(reach.mark))]
        return there == [one.comment(reach.mark) for one in self._wanted(place, reach)]

    def put(self, place: Place, reach: Reach) -> str:
        found = rulesets.rules(place.family, place.table, place.chain)
        where = f"{place.family} {place.table} {place.chain}"
        # After all that the administrator has put there, but before the plain "return" at the end of Docker's.
        verb = f"insert rule {where} handle {found[-1].handle}" if _returns(found) else f"add rule {where}"
        lines = _deletions(place, found, reach.mark)
        for one in self._wanted(place, reach):
            verdict = "accept" if one.passes else "return"
            lines.append(f'{verb} {one.way} "{one.pattern}" counter {verdict} comment "{one.comment(reach.mark)}"')
        nft_apply("\n".join(lines))
        return ""

    def take_away(self, place: Place, reach: Reach) -> None:
        found = rulesets.rules(place.family, place.table, place.chain)
        if lines := _deletions(place, found, reach.mark):
            nft_apply("\n".join(lines))

    def _wanted(self, place: Place, reach: Reach) -> list[Wanted]:
        if place.chain != DOCKER:
            return wanted_rules(reach, None)
        forward = rulesets.rules(place.family, place.table, "FORWARD")
        return wanted_rules(reach, (rule.output_interface for rule in forward if rule.jumps_to == "DOCKER"))


class Legacy:
    """A chain of iptables-legacy, by its own program: the only one that can."""

    def is_in_force(self, place: Place, reach: Reach) -> bool:
        there = [words[2:] for words in self._rules(place) if _is_ours(words, reach.mark)]
        return there == [_legacy_words(one, reach.mark) for one in self._wanted(place, reach)]

    def put(self, place: Place, reach: Reach) -> str:
        self.take_away(place, reach)
        found = self._rules(place)
        returns = bool(found) and found[-1][2:] == ["-j", "RETURN"]
        for number, one in enumerate(self._wanted(place, reach)):
            verb = ["-I", place.chain, str(len(found) + number)] if returns else ["-A", place.chain]
            iptables_legacy.legacy_change(place.family, [*verb, *_legacy_words(one, reach.mark)])
        return ""

    def take_away(self, place: Place, reach: Reach) -> None:
        for words in self._rules(place):
            if _is_ours(words, reach.mark):
                iptables_legacy.legacy_change(place.family, ["-D", *words[1:]])

    def _rules(self, place: Place, chain: str = "") -> list[list[str]]:
        lines = iptables_legacy.legacy_rules(place.family, chain or place.chain) or []
        return [words for line in lines if (words := shlex.split(line))[0] == "-A"]

    def _wanted(self, place: Place, reach: Reach) -> list[Wanted]:
        if place.chain != DOCKER:
            return wanted_rules(reach, None)
        jumps = [words for words in self._rules(place, "FORWARD") if words[-2:] == ["-j", "DOCKER"] and "-o" in words]
        return wanted_rules(reach, (words[words.index("-o") + 1] for words in jumps))


class Firewalld:
    """A zone of firewalld's; the place names the interface (network/firewalld.py)."""

    def is_in_force(self, place: Place, reach: Reach) -> bool:
        from minirun.network.firewall import firewalld

        return firewalld.is_bound(place.chain)

    def put(self, place: Place, reach: Reach) -> str:
        from minirun.network.firewall import firewalld

        return firewalld.bind(place.chain)

    def take_away(self, place: Place, reach: Reach) -> None:
        from minirun.network.firewall import firewalld

        firewalld.unbind(place.chain)


KINDS: dict[str, Kind] = {NFT: Nft(), LEGACY: Legacy(), FIREWALLD: Firewalld()}


def wanted_rules(reach: Reach, dockers: Iterable[str] | None) -> list[Wanted]:
    """Whatever comes from minirun's bridges or goes to them may pass: what is closed there, minirun's own table closes.

    `dockers`: in Docker's place, the bridges that Docker has. What passes one of those is left to Docker's rules, which
    come after: a container of minirun gets no further into Docker's than other machines do.
    """
    passing = [Wanted(way, pattern, True) for pattern in reach.patterns for way in _WAYS]
    if dockers is None:
        return passing
    named = {name for name in dockers if _PLAIN.match(name)}  # others may have odd names, which nft could not read
    left = [Wanted(way, name, False) for name in sorted({_DOCKERS_FIRST, *named}) for way in _WAYS]
    others = [Wanted(way, _DOCKERS_OTHERS, False) for way in _WAYS]
    # A bridge of minirun's that the user has given a name like those of Docker's.
    alike = [one for one in passing if one.pattern.startswith(_DOCKERS_OTHERS[:-1])]
    return [*left, *alike, *others, *(one for one in passing if one not in alike)]


def _returns(found: list[rulesets.Rule]) -> bool:
    return bool(found) and found[-1].is_plain_return


def _deletions(place: Place, found: list[rulesets.Rule], mark: str) -> list[str]:
    where = f"{place.family} {place.table} {place.chain}"
    return [f"delete rule {where} handle {rule.handle}" for rule in found if rule.comment(mark)]


def _is_ours(words: list[str], mark: str) -> bool:
    return "--comment" in words and words[words.index("--comment") + 1].startswith(mark)


def _legacy_words(one: Wanted, mark: str) -> list[str]:
    way = {"iifname": "-i", "oifname": "-o"}[one.way]
    comment = ["-m", "comment", "--comment", one.comment(mark)]
    return [way, one.pattern.replace("*", "+"), *comment, "-j", "ACCEPT" if one.passes else "RETURN"]
