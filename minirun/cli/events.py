"""minirun events."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from minirun.cli.filters import Filters, has_label, parse_filters
from minirun.cli.format import shower
from minirun.cli.moments import moment
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, many, value
from minirun.options.durations import timestamp
from minirun.store import Event, Store

_PAUSE = 0.05  # seconds between two looks: one `select` of a few microseconds each


class Events(Verb):
    most = 0
    filterable = ("container", "event", "image", "label", "network", "type", "volume")
    since = value("since", "", "Show all events created since timestamp")
    until = value("until", "", "Stream events until this timestamp")
    filters = many("filter", "f", "Filter output based on conditions provided", "filter")
    form = value("format", "", "Format output using a custom template: json or TEMPLATE")

    def run(self) -> int:
        filters = parse_filters(self.filters, self.filterable)
        window = _Window(moment(self.since) if self.since else "", moment(self.until) if self.until else "")
        show = shower(self.form) if self.form else None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        store = open_instance().store
        after = store.last_event() if not self.since else 0
        try:
            while True:
                for event in store.events(after):
                    after = event.number
                    if window.has(event) and _is_wanted(event, filters):
                        print(show(describe(event)) if show else _line(event), flush=True)
                if window.is_over():
                    return 0
                _wait(store, after, window)
        except KeyboardInterrupt:
            return 0


@dataclass(frozen=True)
class _Window:
    since: str
    until: str

    def has(self, event: Event) -> bool:
        stamp = _stamp(event)
        return stamp >= self.since and (not self.until or stamp <= self.until)

    def is_over(self) -> bool:
        return bool(self.until) and timestamp(time.time_ns()) >= self.until


def describe(event: Event) -> dict[str, object]:
    """As the API's: the fields that templates and --format json see."""
    return {
        "status": event.action,
        "id": event.actor,
        "from": event.attributes.get("image", ""),
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.actor, "Attributes": event.attributes},
        "scope": "local",
        "time": int(event.time),
        "timeNano": int(event.time * 1e9),
    }


def _line(event: Event) -> str:
    attributes = ", ".join(f"{key}={text}" for key, text in sorted(event.attributes.items()))
    return f"{_stamp(event)} {event.kind} {event.action} {event.actor}" + (f" ({attributes})" if attributes else "")


def _stamp(event: Event) -> str:
    return timestamp(int(event.time * 1e9))


def _is_wanted(event: Event, filters: Filters) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "container": lambda text: event.kind == "container" and _names(event, text),
        "network": lambda text: event.kind == "network" and _names(event, text),
        "volume": lambda text: event.kind == "volume" and _names(event, text),
        "event": lambda text: event.action.partition(":")[0] == text or event.action == text,
        "image": lambda text: event.attributes.get("image", "").removesuffix(":latest") == text.removesuffix(":latest"),
        "label": lambda text: has_label(event.attributes, text),
        "type": lambda text: event.kind == text,
    }
    return all(any(tests[key](text) for text in texts) for key, texts in filters.items())


def _names(event: Event, text: str) -> bool:
    return event.attributes.get("name") == text or event.actor.startswith(text)


def _wait(store: Store, after: int, window: _Window) -> None:
    while store.last_event() <= after and not window.is_over():
        time.sleep(_PAUSE)
