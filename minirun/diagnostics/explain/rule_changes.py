"""What an operation changes in minirun's nftables tables: the difference of two listings, as commands of nft(8)."""

import re
from collections.abc import Iterable, Iterator

from minirun.kernel.nft import nft_table

PRIMITIVES = frozenset({"_apply_line", "_apply_text", "elements_add", "elements_del"})
_TABLES = re.compile(r"\b(inet|bridge) (minirun\w*)\b")
_KINDS = (("chain ", "chains"), ("rule ", "rules"), (("set ", "map "), "sets and maps"))
_KIND_ORDER = ("table", "chain", "set", "map", "rule", "element")
_COMMENT = re.compile(r' comment "[0-9a-f]{12}"')  # a container's id, in an element


def is_own(command: str) -> bool:
    """Whether a command is about tables of minirun, and not about another firewall's."""
    return bool(_TABLES.search(command))


def listing(command: str) -> str:
    """Return, as nft lists them, the tables of minirun that a command names."""
    return "".join(nft_table(family, table) for family, table in sorted(set(_TABLES.findall(command)), reverse=True))


def changes(before: str, after: str) -> list[str]:
    """Return what was added and deleted, as commands; of elements, those of published ports first.

    Of tables that are new, only the elements of containers; a line that begins with `#` counts the rest.
    """
    old, new = dict.fromkeys(_facts(before)), dict.fromkeys(_facts(after))
    gone = [f"delete {fact}" for fact in old if fact not in new and not fact.startswith("rule ")]
    added = [fact for fact in new if fact not in old]
    if tables := [fact for fact in added if fact.startswith("table ")]:
        counts = (f"{sum(fact.startswith(kinds) for fact in added)} {name}" for kinds, name in _KINDS)
        gone.append(f"# new: {' and '.join(tables)}, with {', '.join(counts)}; for this container:")
        added = [fact for fact in added if _is_published(fact) or fact.startswith("element bridge ")]
    return [*gone, *(f"add {fact}" for fact in sorted(added, key=_rank))]


def _rank(fact: str) -> tuple[int, bool]:
    """Chains come before the rules in them, these before the elements that jump to them."""
    return _KIND_ORDER.index(fact.partition(" ")[0]), not _is_published(fact)


def _is_published(fact: str) -> bool:
    return fact.startswith("element ") and " published" in fact.partition("{")[0]


def _facts(text: str) -> Iterator[str]:
    """Yield each table, chain, rule, set, map and element, as nft(8) would name it after `add`."""
    table = chain = ""
    for line in _joined(text.splitlines()):
        kind, _, name = line.removesuffix("{").strip().partition(" ")
        if line.endswith("{") and kind == "table":
            table, chain = name, ""
            yield f"table {table}"
        elif line.endswith("{") and kind in ("chain", "set", "map"):
            chain = name if kind == "chain" else ""
            container = name
            yield f"{kind} {table} {name}"
        elif line.startswith("elements = {"):
            for element in _elements(line):
                yield f"element {table} {container} {{ {element} }}"
        elif chain and line not in ("}", "") and not line.startswith(("type ", "comment ")):
            yield f"rule {table} {chain} {line}"


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Yield stripped lines, with the elements of a set, which nft spreads over several, on one."""
    pending = ""
    for line in lines:
        pending = f"{pending} {line.strip()}".strip()
        if not pending.startswith("elements = {") or pending.endswith("}"):
            yield pending
            pending = ""


def _elements(line: str) -> list[str]:
    inner = line.removeprefix("elements = {").removesuffix("}").strip()
    return [_COMMENT.sub("", element).strip() for element in inner.split(", ")]
