"""Help, as Docker prints it."""

from minirun.cli.verb import Flag, Verb
from minirun.cli.verbs import ALIASES, COMMON, FAMILIES, VERBS, is_shown

GLOBAL_FLAGS = (
    ("    --explain[=text|json|script]", "Show each kernel operation of the command, on standard error"),
    ("    --root string", "State root (default $MINIRUN_ROOT or /var/lib/minirun)"),
    ("-v, --version", "Print version information and quit"),
)
_INDENT = "  "


def of_all() -> str:
    """`minirun --help`."""
    short = {name: line for name, (_, line) in VERBS.items() if " " not in name and is_shown(name)}
    families = {name: line for name, line in FAMILIES.items() if members_of(name)}
    return "\n".join(
        [
            "Usage:  minirun [OPTIONS] COMMAND",
            "",
            "A small Docker-compatible container runtime whose heart is networking.",
            "",
            "Common Commands:",
            *_columns([(name, short[name]) for name in COMMON]),
            "",
            "Management Commands:",
            *_columns(list(families.items())),
            "",
            "Commands:",
            *_columns(sorted((name, line) for name, line in short.items() if name not in COMMON)),
            "",
            "Global Options:",
            *_columns(list(GLOBAL_FLAGS)),
            "",
            "Run 'minirun COMMAND --help' for more information on a command.",
        ]
    )


def of_family(family: str) -> str:
    return "\n".join(
        [
            f"Usage:  minirun {family} COMMAND",
            "",
            FAMILIES[family],
            "",
            "Commands:",
            *_columns(sorted(members_of(family).items())),
            "",
            f"Run 'minirun {family} COMMAND --help' for more information on a command.",
        ]
    )


def of_verb(verb: type[Verb], name: str, called: str) -> str:
    """`name` is the verb's own, `called` what was typed."""
    lines = [usage_line(verb, called), "", VERBS[name][1]]
    if verb.__doc__ and verb.__doc__ != Verb.__doc__:
        lines += ["", *(line.strip() for line in verb.__doc__.strip().splitlines())]
    spellings = sorted({name, *(alias for alias, verb_name in ALIASES.items() if verb_name == name)})
    if len(spellings) > 1:
        lines += ["", "Aliases:", _INDENT + ", ".join(f"minirun {spelling}" for spelling in spellings)]
    flags = sorted((flag for flag in verb.flags().values() if not flag.hidden), key=lambda flag: flag.name)
    if flags:
        lines += ["", "Options:", *_columns([(_left(flag), _right(flag)) for flag in flags])]
    return "\n".join(lines)


def usage_line(verb: type[Verb], called: str) -> str:
    options = " [OPTIONS]" if verb.flags() else ""
    return f"Usage:  minirun {called}{options} {verb.usage}".rstrip()


def members_of(family: str) -> dict[str, str]:
    """Words behind the family's name, with their lines."""
    found = {name: line for name, (_, line) in VERBS.items() if name.startswith(family + " ")}
    found |= {
        alias: VERBS[name][1] for alias, name in ALIASES.items() if alias.startswith(family + " ") and name in VERBS
    }
    return {name.split()[1]: line for name, line in found.items() if name.split()[1] not in ("list", "remove", "ps")}


def _left(flag: Flag) -> str:
    start = f"-{flag.short}, " if flag.short else "    "
    return f"{start}--{flag.name} {flag.kind}".rstrip()


def _right(flag: Flag) -> str:
    default = flag.default
    if default in ("", False, 0, ()):
        return flag.text
    shown = f'"{default}"' if isinstance(default, str) else str(default).lower()
    return f"{flag.text} (default {shown})"


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max((len(left) for left, _ in rows), default=0) + 3
    return [f"{_INDENT}{left.ljust(width)}{right}".rstrip() for left, right in rows]
