"""From a command line that is being typed to what may stand at its end."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minirun.cli.app import load_verb
from minirun.cli.completion_data.records import STATES, Records
from minirun.cli.completion_data.values import DIRECTORIES, FILES, Question, place_of, values_of
from minirun.cli.usage import GLOBAL_FLAGS, members_of
from minirun.cli.verb import Verb
from minirun.cli.verbs import FAMILIES, GLOBAL_VALUES, VERBS, canonical, is_shown, split
from minirun.instance import state_root

_UNFINISHED = (":", "=", ",")


@dataclass(frozen=True)
class Answer:
    candidates: dict[str, str]  # with a line of help each, or ""
    place: str = ""  # FILES or DIRECTORIES: the shell offers those, too

    @property
    def directive(self) -> str:
        """How the shell goes on: `nospace` where more has to be typed behind a candidate."""
        unfinished = bool(self.candidates) and all(one.endswith(_UNFINISHED) for one in self.candidates)
        return " ".join(word for word in (self.place, "nospace" if unfinished else "") if word)


NOTHING = Answer({})


def answer(words: list[str]) -> Answer:
    """`words` are those behind `minirun`; the last is the one at the cursor, "" when nothing of it is typed yet."""
    *before, typed = words or [""]
    found = _find(before, typed)
    return Answer({one: line for one, line in found.candidates.items() if one.startswith(typed)}, found.place)


def _find(before: list[str], typed: str) -> Answer:
    options, called, rest = split(before)
    if options and options[-1] in GLOBAL_VALUES and not called:
        return Answer({}, DIRECTORIES)
    if not called:
        return _verbs(typed)
    name = canonical(called)
    if called in FAMILIES:
        return Answer(members_of(called))
    if name not in VERBS or not is_shown(name):
        return NOTHING
    records = Records(state_root(_root_of(options)))
    return _of_verb(load_verb(name), called, rest, Question(records, typed))


def _verbs(typed: str) -> Answer:
    if typed.startswith("-"):
        return Answer(
            {
                name.partition("[")[0]: line
                for shown, line in GLOBAL_FLAGS
                for name in shown.split()
                if name.startswith("--")
            }
        )
    short = {name: line for name, (_, line) in VERBS.items() if " " not in name and is_shown(name)}
    return Answer({**short, **{name: line for name, line in FAMILIES.items() if members_of(name)}})


def _of_verb(verb: type[Verb], called: str, rest: list[str], asked: Question) -> Answer:
    flag, words, given = verb.slot(rest)
    typed = asked.typed
    if flag is not None:
        return _value(verb, flag.name, "", asked)
    flags_may_follow = "--" not in rest and (verb.interspersed or not words)
    if typed.startswith("-") and flags_may_follow:
        name, equals, _ = typed.partition("=")
        if equals:
            named = verb.flag_called(name.removeprefix("--"))
            return _value(verb, named.name, name + "=", asked) if named and named.kind else NOTHING
        shown = [
            one for one in verb.flags().values() if not one.hidden and (one.name not in given or one.default == ())
        ]
        return Answer({f"--{one.name}": one.text for one in sorted(shown, key=lambda one: one.name)})
    if verb.most is not None and len(words) >= verb.most:
        return NOTHING
    return _word(_kind(verb, called, len(words), given), words, asked)


def _flags(verb: type[Verb], given: set[str]) -> Answer:
    """Those that may still be given."""
    shown = [one for one in verb.flags().values() if not one.hidden and (one.name not in given or one.default == ())]
    return Answer({f"--{one.name}": one.text for one in sorted(shown, key=lambda one: one.name)})


def _value(verb: type[Verb], flag: str, prefix: str, asked: Question) -> Answer:
    """`--flag VALUE`, or with a prefix `--flag=VALUE`."""
    typed = asked.typed.removeprefix(prefix)
    found = values_of(flag, Question(asked.records, typed, verb.filterable))
    return Answer({prefix + one: "" for one in found}, place_of(flag, typed))


def _kind(verb: type[Verb], called: str, number: int, given: set[str]) -> str:
    """What the word of that number is to name. The last kind goes for all that follow."""
    kinds = verb.completes.split() or ["-"]
    kind = kinds[min(number, len(kinds) - 1)]
    if kind == "removable":
        return "containers" if "force" in given else "stopped"
    family = called.split()[0]
    return f"{family}s" if kind == "objects" and family in FAMILIES else kind


def _word(kind: str, words: list[str], asked: Question) -> Answer:
    records = asked.records
    if kind == "copied":  # a path here, or CONTAINER:path there
        names = [f"{name}:" for name in records.containers()] if ":" not in asked.typed else []
        return Answer(_plain(names), FILES if ":" not in asked.typed else "")
    if kind == FILES:
        return Answer({}, FILES)
    found = _named(kind, records)
    return Answer(_plain(one for one in (kind.split("|") if found is None else found) if one not in (*words, "-")))


def _named(kind: str, records: Records) -> list[str] | None:
    """None of a kind that is no record's."""
    if kind in STATES:
        return records.containers(kind)
    if kind == "objects":
        return [*records.containers(), *records.networks(), *records.images(), *records.volumes()]
    sources = {"images": records.images, "networks": records.networks, "volumes": records.volumes}
    return sources[kind]() if kind in sources else None


def _plain(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, "")


def _root_of(options: list[str]) -> Path | None:
    for at, word in enumerate(options):
        name, equals, text = word.partition("=")
        if name == "--root":
            return Path(text if equals else options[at + 1])
    return None
