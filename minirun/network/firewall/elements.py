"""Elements of the maps and sets in the nft tables: each is added, deleted and listed by the same words."""

from collections.abc import Iterable
from typing import NamedTuple

from minirun.kernel.nft_elements import SetElement


class Element(NamedTuple):
    family: str  # of the table: inet or bridge
    name: str  # of the map or set
    key: str
    value: str = ""  # of a map
    comment: str = ""

    def __str__(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        return f"{self.key}{comment} : {self.value}" if self.value else f"{self.key}{comment}"

    def in_table(self, table: str, kinds: dict[str, str]) -> SetElement:
        return SetElement(self.family, table, self.name, kinds[self.name], self.key, self.value, self.comment)


def definitions(kinds: dict[str, str], elements: Iterable[Element]) -> list[str]:
    """The maps and sets of one table, `kinds` by name, with what is in them."""
    inside: dict[str, list[str]] = {name: [] for name in kinds}
    for element in elements:
        inside[element.name].append(str(element))
    lines = []
    for name, kind in kinds.items():
        body = f" elements = {{ {', '.join(sorted(inside[name]))} }};" if inside[name] else ""
        lines += [f"  {'map' if ':' in kind else 'set'} {name} {{ {kind};{body}", "  }"]
    return lines
