"""GET /events: what happens, as it happens, a JSON object a line."""

from functools import partial
from http import HTTPStatus

import msgspec

from minirun.api.containers import checked_filters
from minirun.api.http import Response
from minirun.api.request import Request, failing_with
from minirun.cli.output.moments import moment
from minirun.cli.system.events import KEYS, PAUSE, Window, describe, follow

_OF_A_SWARM = ("config", "daemon", "node", "plugin", "secret", "service")  # nothing that minirun has


def events(request: Request) -> Response:
    """GET /events. The head is sent at once; without `until` it ends when the client leaves.

    What happens after the head is told of: a client may have listed containers, and waits for the end of one.
    """
    filters = checked_filters(request, (*KEYS, *_OF_A_SWARM, "scope"))
    since, until = request.query.text("since"), request.query.text("until")
    with failing_with(HTTPStatus.BAD_REQUEST):
        window = Window(moment(since) if since else "", moment(until) if until else "")
    is_empty = any(key in filters for key in _OF_A_SWARM) or "local" not in filters.get("scope", ["local"])
    wanted = {key: values for key, values in filters.items() if key in KEYS}
    pause = partial(request.wait, [], PAUSE)
    # What a client does once it has the head is among them.
    found = follow(request.instance.store, window, wanted, pause)
    return Response(body=(msgspec.json.encode(describe(event)) + b"\n" for event in found if not is_empty))
