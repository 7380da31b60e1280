"""The device program, as the virtual machine of the kernel runs it, says what the rules say."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from minirun.kernel.devices import ALWAYS, Rule, program

LETTERS = {"m": 1, "r": 2, "w": 4}


KINDS = {"b": 1, "c": 2}


def answer(code: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """What the kernel's machine makes of it (bpf(2), the instructions that are used)."""
    context = {0: access << 16 | KINDS[kind], 4: major, 8: minor}
    registers = [0] * 10
    lines = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    at = 0
    while True:
        operation, operands, offset, number = lines[at]
        to, source = operands & 15, operands >> 4
        at += 1
        if operation == 0x61:
            registers[to] = context[offset]
        elif operation == 0xB4:
            registers[to] = number
        elif operation == 0xBC:
            registers[to] = registers[source]
        elif operation == 0x54:
            registers[to] &= number
        elif operation == 0x74:
            registers[to] >>= number
        elif operation == 0x55:
            at += offset * (registers[to] != number)
        elif operation == 0x5D:
            at += offset * (registers[to] != registers[source])
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(hex(operation))


def allows(rule: Rule, kind: str, major: int, minor: int, access: int) -> bool:
    mine = sum(LETTERS[letter] for letter in rule[3])
    return rule[0] == kind and rule[1] in (-1, major) and rule[2] in (-1, minor) and access & ~mine == 0


numbers = st.integers(0, 3)


rules = st.lists(
    st.tuples(
        st.sampled_from("bc"), numbers | st.just(-1), numbers | st.just(-1), st.sets(st.sampled_from("rwm"), min_size=1)
    ).map(lambda one: (one[0], one[1], one[2], "".join(sorted(one[3])))),
    max_size=6,
)


@given(rules, st.sampled_from("bc"), numbers, numbers, st.integers(1, 7))
def test_the_program_says_what_the_rules_say(
    given_rules: list[Rule], kind: str, major: int, minor: int, access: int
) -> None:
    wanted = any(allows(rule, kind, major, minor, access) for rule in given_rules)
    assert answer(program(given_rules), kind, major, minor, access) == int(wanted)


def test_the_rules_of_each_container() -> None:
    """All may be made, these may be used: Docker's list."""
    code = program(ALWAYS)
    assert answer(code, "b", 8, 0, LETTERS["m"]) == 1
    used = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 77)]
    assert all(answer(code, "c", *node, LETTERS["r"] | LETTERS["w"]) == 1 for node in used)
    others = [("c", 1, 1), ("c", 1, 2), ("c", 1, 11), ("c", 10, 229), ("b", 8, 0), ("b", 1, 3)]
    assert not any(answer(code, *node, LETTERS["r"]) for node in others)
