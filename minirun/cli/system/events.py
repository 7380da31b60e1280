"""minirun events."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from minirun.cli.completion.values import words
from minirun.cli.output.docker_structs import DOCKER_STRUCTS
from minirun.cli.output.filters import Filters, has_label, parse_filters
from minirun.cli.output.format import shower
from minirun.cli.output.moments import moment
from minirun.cli.parameters import NONE, filter_option
from minirun.cli.session import commands, open_instance
from minirun.options.values import timestamp
from minirun.store import Event, Store

PAUSE = 0.05  # seconds between two looks: one `select` of a few microseconds each
KEYS = ("container", "event", "image", "label", "network", "type", "volume")
app = commands()


@app.command("events")
def events(
    filters: Annotated[list[str], filter_option(KEYS, "-f")] = NONE,
    form: Annotated[
        str,
        Option(
            "--format",
            help="Format output using a custom template: json or TEMPLATE",
            autocompletion=words("json", "table"),
        ),
    ] = "",
    since: Annotated[str, Option("--since", help="Show all events created since timestamp")] = "",
    until: Annotated[str, Option("--until", help="Stream events until this timestamp")] = "",
) -> int:
    """Get real time events from the installation."""
    wanted = parse_filters(filters, KEYS)
    window = Window(moment(since) if since else "", moment(until) if until else "")
    show = _shower(form)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for event in follow(open_instance().store, window, wanted, lambda: time.sleep(PAUSE)):
            print(show(event), flush=True)
    except KeyboardInterrupt:
        pass
    return 0


@dataclass(frozen=True)
class Window:
    """The time of the events that are wanted, as timestamps. `since` "": from now on; `until` "": without end."""

    since: str
    until: str

    def has(self, event: Event) -> bool:
        """Whether an event is in it."""
        stamp = _stamp(event)
        return stamp >= self.since and (not self.until or stamp <= self.until)

    def is_over(self) -> bool:
        """Whether no event of it can come any more."""
        return bool(self.until) and timestamp(time.time_ns()) >= self.until


def follow(store: Store, window: Window, filters: Filters, pause: Callable[[], object]) -> Iterator[Event]:
    """Return the wanted events of the window from this call on, as they come. `pause` waits for PAUSE seconds."""
    return _following(store, window, filters, pause, 0 if window.since else store.last_event())


def _following(
    store: Store, window: Window, filters: Filters, pause: Callable[[], object], after: int
) -> Iterator[Event]:
    while True:
        is_last = window.is_over()  # asked first: what came before the end is still shown
        for event in store.events(after):
            after = event.number
            if window.has(event) and _is_wanted(event, filters):
                yield event
        if is_last:
            return
        while store.last_event() <= after and not window.is_over():
            pause()


def _shower(form: str) -> Callable[[Event], str]:
    if not form:
        return _line
    show = shower(form)
    return lambda event: show(DOCKER_STRUCTS.build("event", describe(event)))


def describe(event: Event) -> dict[str, object]:
    """As the API's: what --format json prints. The first three are of containers and images alone, as in Docker."""
    image = {"from": event.attributes["image"]} if event.kind == "container" and "image" in event.attributes else {}
    return {
        **({"status": event.action, "id": event.actor} if event.kind in ("container", "image") else {}),
        **image,
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
        "image": lambda text: text.removesuffix(":latest") in _images(event),
        "label": lambda text: has_label(event.attributes, text),
        "type": lambda text: event.kind == text,
    }
    return all(any(tests[key](text) for text in texts) for key, texts in filters.items())


def _images(event: Event) -> tuple[str, ...]:
    """What --filter image= may say of an event: an image's id or name, or the name of a container's image."""
    name = event.attributes.get("name" if event.kind == "image" else "image", "").removesuffix(":latest")
    return (name, event.actor, event.actor.removeprefix("sha256:")) if event.kind == "image" else (name,)


def _names(event: Event, text: str) -> bool:
    return event.attributes.get("name") == text or event.actor.startswith(text)
