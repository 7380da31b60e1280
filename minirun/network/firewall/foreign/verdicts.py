"""What a chain of another firewall does with a packet that meets none of its conditions.

A rule with a condition is its owner's explicit will, and minirun changes nothing about it. What drops all the rest is
the chain's policy, or an "end": a rule without a condition that drops, rejects, or jumps to a chain that does.
"""

import shlex
from dataclasses import dataclass

from minirun.kernel import iptables_legacy, rulesets

_DEPTH = 16  # jumps that the kernel allows, NFT_JUMP_STACK_SIZE
_DROPS = ("DROP", "REJECT")


@dataclass(frozen=True)
class Verdict:
    """For the packets that meet no condition.

    drops: whether the chain drops them
    end: the rule that decides it, by its position from 0; None when it is the policy, or the chain's end
    """

    drops: bool
    end: int | None = None


def nft_verdict(family: str, table: str, chain: str, policy_drops: bool) -> Verdict:
    """Return what a base chain of nftables does, given its policy."""
    return _nft_verdict(family, table, chain, policy_drops, _DEPTH) or Verdict(policy_drops)


def nft_reached(family: str, table: str, chain: str) -> set[str]:
    """Return the chains to which packets come from this one by jumps, before an end; and itself."""
    known = {chain}
    waiting = [chain]
    while waiting:
        current = waiting.pop()
        verdict = _nft_verdict(family, table, current, None, _DEPTH)
        for rule in rulesets.rules(family, table, current)[: verdict.end if verdict else None]:
            if rule.jumps_to and rule.jumps_to not in known:
                known.add(rule.jumps_to)
                waiting.append(rule.jumps_to)
    return known


def _nft_verdict(family: str, table: str, chain: str, policy: bool | None, depth: int) -> Verdict | None:
    """None when packets return to where they came from. policy: whether a base chain's drops; None for another chain"""
    for position, rule in enumerate(rulesets.rules(family, table, chain)):
        if not rule.is_unconditional:
            continue
        if rule.ends_all or rule.accepts:
            return Verdict(rule.ends_all, position)
        if rule.is_plain_return:
            return None if policy is None else Verdict(policy, position)
        inner = _nft_verdict(family, table, rule.jumps_to, None, depth - 1) if rule.jumps_to and depth else None
        if inner:
            return Verdict(inner.drops, position)
        if rule.goes_to:
            return None if policy is None else Verdict(policy, position)
    return None


def legacy_verdict(family: str, chain: str) -> Verdict:
    """Return what a chain of iptables-legacy's table filter does.

    FileNotFoundError when iptables-legacy(8) is not installed, so that nobody can tell.
    """
    chains = _legacy_chains(family)
    policy = chains.get(chain, [[]])[0][-1:] == ["DROP"]  # "-P FORWARD DROP"
    return _legacy_verdict(chains, chain, policy, _DEPTH) or Verdict(policy)


def legacy_reached(family: str, chain: str) -> set[str]:
    """As `nft_reached`."""
    chains = _legacy_chains(family)
    known = {chain}
    waiting = [chain]
    while waiting:
        current = waiting.pop()
        verdict = _legacy_verdict(chains, current, None, _DEPTH)
        for words in _rules(chains, current)[: verdict.end if verdict else None]:
            jump = _target(words)
            if jump in chains and jump not in known:
                known.add(jump)
                waiting.append(jump)
    return known


def _legacy_verdict(chains: dict[str, list[list[str]]], chain: str, policy: bool | None, depth: int) -> Verdict | None:
    for position, words in enumerate(_rules(chains, chain)):
        if len(words) < 4 or words[2] not in ("-j", "-g"):  # it has a condition, or no target
            continue
        target = words[3]
        if target == "ACCEPT" or target in _DROPS:
            return Verdict(target in _DROPS, position)
        inner = _legacy_verdict(chains, target, None, depth - 1) if target in chains and depth else None
        if inner:
            return Verdict(inner.drops, position)
        if target == "RETURN" or words[2] == "-g":
            return None if policy is None else Verdict(policy, position)
    return None


def _legacy_chains(family: str) -> dict[str, list[list[str]]]:
    """Each chain with its lines as iptables(8) lists them: its policy or its making first, then its rules."""
    chains: dict[str, list[list[str]]] = {}
    for line in iptables_legacy.legacy_rules(family) or []:
        words = shlex.split(line)
        chains.setdefault(words[1], []).append(words)
    return chains


def _rules(chains: dict[str, list[list[str]]], chain: str) -> list[list[str]]:
    return [words for words in chains.get(chain, []) if words[0] == "-A"]


def _target(words: list[str]) -> str:
    """The chain or target that a rule jumps to, or ""."""
    return next((words[at + 1] for at in range(len(words) - 1) if words[at] in ("-j", "-g")), "")
