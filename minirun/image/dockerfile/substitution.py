"""`${name#pattern}` and `${name/pattern/text}`: remove or replace what a pattern matches in a value.

As in BuildKit, `*` and `?` match no newline, and there are no `[...]` classes.
"""

from minirun.errors import MinirunError
from minirun.image.dockerfile.globs import Pattern, ends, reverse, shell_pattern

_LONGEST = 1 << 20  # characters of a result


def trimmed(value: str, word: str, modifier: str) -> str:
    """Remove the shortest match of a pattern from the start (`#`) or the end (`%`) of a value.

    `word` is the pattern; when it begins with `modifier`, as in `${name##pattern}`, the longest match is removed.
    """
    is_longest = word.startswith(modifier)
    pattern = shell_pattern(word[1:] if is_longest else word)
    if modifier == "%":
        return _without_prefix(value[::-1], reverse(pattern), is_longest)[::-1]
    return _without_prefix(value, pattern, is_longest)


def replaced(value: str, pattern_text: str, replacement: str, everywhere: bool) -> str:
    """Replace the first match of a pattern in a value, or all of them. Each match is as long as it can be."""
    pattern = shell_pattern(pattern_text)
    result: list[str] = []
    done, after_match, size = 0, -1, 0
    for start in _starts(value, pattern):
        if start < done:
            continue
        end = max(ends(pattern, value, (start,)))
        if end == start == after_match:  # an empty match right behind another one does not count
            continue
        result += [value[done:start], replacement]
        size += start - done + len(replacement)
        if size > _LONGEST:
            raise MinirunError("its variables expand to more than 1 MiB")
        done = after_match = end
        if not everywhere:
            break
    return "".join([*result, value[done:]])


def _without_prefix(value: str, pattern: Pattern, is_longest: bool) -> str:
    found = ends(pattern, value, (0,))
    return value[(max if is_longest else min)(found) :] if found else value


def _starts(value: str, pattern: Pattern) -> list[int]:
    """Return where matches can begin: where matches of the reversed pattern in the reversed value end."""
    backwards = ends(reverse(pattern), value[::-1], range(len(value) + 1))
    return sorted(len(value) - end for end in backwards)
