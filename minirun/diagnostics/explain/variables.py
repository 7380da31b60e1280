"""Shell variables in place of the long paths of containers, defined once at the top of the output."""

import re
from collections.abc import Iterable

from minirun.diagnostics.explain.recorder import Record

_ID = re.compile(r"\b[0-9a-f]{64}\b")


class Variables:
    """The variables of an output: $ID and $CONTAINER for the first container, $ID2 and $CONTAINER2 for the second."""

    def __init__(self, records: Iterable[Record], root: str) -> None:
        """`root` is the state root, in which the containers' files are; paths may be relative to it."""
        found = dict.fromkeys(each for record in records for each in _ID.findall(record.command))
        self._names = {each: str(number) if number > 1 else "" for number, each in enumerate(found, 1)}
        self._root = root
        # What is quoted is left as it is: a shell expands nothing there.
        self._pattern = re.compile(rf"'[^'\n]*'|(?:{re.escape(root)}/)?\bcontainers/([0-9a-f]{{64}})\b|{_ID.pattern}")

    def replace(self, text: str) -> str:
        """Return a command with the variables in it."""
        return self._pattern.sub(self._variable, text)

    def _variable(self, match: "re.Match[str]") -> str:
        if match[1] in self._names:
            return f"$CONTAINER{self._names[match[1]]}"
        return f"$ID{self._names[match[0]]}" if match[0] in self._names else match[0]

    def definitions(self, lines: Iterable[str]) -> list[str]:
        """Return the definitions of the variables that occur in lines."""
        used = set(re.findall(r"\$((?:CONTAINER|ID)\d*)\b", "\n".join(lines)))
        definitions = []
        for identity, suffix in self._names.items():
            if {f"ID{suffix}", f"CONTAINER{suffix}"} & used:
                definitions.append(f"export ID{suffix}={identity}")
            if f"CONTAINER{suffix}" in used:
                definitions.append(f"export CONTAINER{suffix}={self._root}/containers/$ID{suffix}")
        return definitions
