"""Containers: list, inspect, and what is done to one, except streams (streams.py) and files (archives.py)."""

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from minirun.api.bodies import Resources
from minirun.api.container_create import limit_options, refuse_unsupported, restart_text
from minirun.api.http import NO_CONTENT, NOT_MODIFIED, ApiError, Response, answer
from minirun.api.request import Request, failing_with
from minirun.archive.tree_walk import tree_size
from minirun.cli.container.attach_session import Attachment, Manner
from minirun.cli.container.lifecycle import prune_stopped
from minirun.cli.container.options import LimitOptions
from minirun.cli.container.ps import chosen
from minirun.cli.container.ps_filters import KEYS
from minirun.cli.container.spec import asked_limits
from minirun.cli.container.update import update_container
from minirun.cli.output.filters import Filters
from minirun.cli.output.states import state_of, status_of
from minirun.cli.prune import KEYS as PRUNE_KEYS
from minirun.cli.prune import choice_of
from minirun.engine import hot_update, inspect, lifecycle, remove, stop
from minirun.engine.copy import container_tree
from minirun.engine.diff import changes
from minirun.engine.lifecycle import tell
from minirun.engine.liveness import member_pids, require_running
from minirun.engine.start import AlreadyStartedError, StartOptions, WaitingShim
from minirun.engine.start import start as start_container
from minirun.engine.top import choose_columns
from minirun.errors import MinirunError
from minirun.image.records import image_size
from minirun.instance import Instance
from minirun.kernel.procfs import host_clock, process_status
from minirun.model import ACTIVE, Container
from minirun.options.values import check_name, parse_signal
from minirun.shim import prefork
from minirun.store.lookup import find_container
from minirun.volume.inspect import mounts as mounts_of

_DIFF_KINDS = {"C": 0, "A": 1, "D": 2}


def checked_filters(request: Request, known: tuple[str, ...]) -> Filters:
    """The request's filters. ApiError for a key that is not known."""
    filters = request.query.filters()
    for key in filters:
        if key not in known:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid filter '{key}'")
    return filters


def list_all(request: Request) -> Response:
    """GET /containers/json."""
    filters = checked_filters(request, (*KEYS, "is-task", "isolation"))
    filters = {key: values for key, values in filters.items() if key not in ("is-task", "isolation")}
    limit = request.query.number("limit", 0) or 0
    with request.instance.store.read():
        with failing_with(HTTPStatus.BAD_REQUEST):
            found = chosen(request.instance, filters, request.query.flag("all"), max(0, limit))
        return answer([summary(request.instance, one, request.query.flag("size")) for one in found])


def summary(instance: Instance, container: Container, sizes: bool = False) -> dict[str, Any]:
    """One container in a list."""
    spec, settings = container.spec, inspect.network_settings(instance, container)
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": spec.image,
        "ImageID": inspect.image_of(spec),
        "Command": " ".join(word if " " not in word else f"'{word}'" for word in spec.argv),
        "Created": int(container.created),
        "Ports": _ports(settings["Ports"]),
        **(_sizes(instance, container) if sizes else {}),
        "Labels": dict(spec.labels),
        "State": state_of(container),
        "Status": status_of(container),
        "HostConfig": {"NetworkMode": str(spec.network).partition(",")[0]},
        "NetworkSettings": {"Networks": settings["Networks"]},
        "Mounts": mounts_of(instance, spec),
    }


def _ports(bindings: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for text, places in bindings.items():
        port, _, kind = text.partition("/")
        for place in places or [None]:
            public = {"IP": place["HostIp"], "PublicPort": int(place["HostPort"])} if place else {}
            found.append({"PrivatePort": int(port), "Type": kind, **public})
    return found


def _sizes(instance: Instance, container: Container) -> dict[str, int]:
    own = tree_size(instance.container_dir(container.id) / "upper")
    return {"SizeRw": own, "SizeRootFs": own + image_size(instance, container)}


def inspect_one(request: Request) -> Response:
    """GET /containers/{name}/json."""
    container = request.container()
    sizes = _sizes(request.instance, container) if request.query.flag("size") else {}
    return answer(inspect.describe_container(request.instance, container) | sizes)


def top(request: Request) -> Response:
    """GET /containers/{name}/top."""
    with failing_with(HTTPStatus.BAD_REQUEST):
        columns = choose_columns(request.query.text("ps_args", "-ef").split())
    container = request.container()
    with failing_with(HTTPStatus.CONFLICT):
        require_running(container)
    tell(request.instance, container.id, "top")
    clock = host_clock()
    statuses = [process_status(pid) for pid in member_pids(request.instance, container)]
    rows = [[column.form(status, clock) for column in columns] for status in statuses if status is not None]
    return answer({"Titles": [column.header for column in columns], "Processes": rows})


def diff(request: Request) -> Response:
    """GET /containers/{name}/changes."""
    tree = container_tree(request.instance, request.container())
    return answer([{"Path": path, "Kind": _DIFF_KINDS[kind]} for kind, path in changes(tree)] or None)


def start(request: Request) -> Response:
    """POST /containers/{name}/start."""
    launch = WaitingShim(*prefork.spawn())  # before the records are opened: SQLite must not be forked
    container = request.container()
    if container.status in ACTIVE:
        launch.channel.close()
        return NOT_MODIFIED
    try:
        start_and_confirm(request.instance, container, launch)
    except AlreadyStartedError:
        return NOT_MODIFIED
    return NO_CONTENT


def start_and_confirm(instance: Instance, container: Container, launch: WaitingShim) -> None:
    """Start a container and wait until its program runs. ApiError when it does not."""
    start_container(instance, container, launch, StartOptions())
    outcome = Attachment(launch.channel, Manner(output=False)).until_started()
    if outcome is None:
        return
    if outcome.text:
        launch.undo_start(instance, container, outcome.code, outcome.text)
        status = HTTPStatus.BAD_REQUEST if outcome.code in (126, 127) else HTTPStatus.INTERNAL_SERVER_ERROR
        raise ApiError(status, f"failed to create task for container: {outcome.text}")
    stop.clean_up_lost_run(instance, container)
    raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, lifecycle.SHIM_LOST)


def _signal(request: Request) -> int | None:
    text = request.query.text("signal")
    with failing_with(HTTPStatus.BAD_REQUEST):
        return parse_signal(text) if text else None


def stop_one(request: Request) -> Response:
    """POST /containers/{name}/stop."""
    number, seconds = _signal(request), request.query.number("t")
    container = request.container()
    if container.status not in ACTIVE:
        return NOT_MODIFIED
    stop.begin_stop(request.instance, container, number, stop.stop_timeout(container, seconds))()
    return NO_CONTENT


def restart(request: Request) -> Response:
    """POST /containers/{name}/restart."""
    launch = WaitingShim(*prefork.spawn())
    number, seconds = _signal(request), request.query.number("t")
    instance, container = request.instance, request.container()
    try:
        stop.begin_stop_for_restart(instance, container, number, stop.stop_timeout(container, seconds))()
        stopped = find_container(instance.store, container.id)
        with suppress(AlreadyStartedError):
            start_and_confirm(instance, stopped, launch)
            tell(instance, container.id, "restart")
    finally:
        stop.restore_auto_remove(instance, container)
    return NO_CONTENT


def kill(request: Request) -> Response:
    """POST /containers/{name}/kill."""
    number = _signal(request) or 9
    instance, container = request.instance, request.container()
    with failing_with(HTTPStatus.CONFLICT):
        try:
            stop.send_signal(instance, container, number)
        except MinirunError as error:
            raise MinirunError(f"cannot kill container: {request.parameters['name']}: {error.message}") from None
    if number == 9:
        stop.wait_for_cleanup(instance, container)
    return NO_CONTENT


def pause(request: Request) -> Response:
    """POST /containers/{name}/pause."""
    with failing_with(HTTPStatus.CONFLICT):
        stop.pause(request.instance, request.container())
    return NO_CONTENT


def unpause(request: Request) -> Response:
    """POST /containers/{name}/unpause."""
    container = request.container()
    if not container.paused:
        raise ApiError(HTTPStatus.CONFLICT, f"Container {container.id} is not paused")
    stop.unpause(request.instance, container)
    return NO_CONTENT


def rename(request: Request) -> Response:
    """POST /containers/{name}/rename."""
    name = request.query.text("name").removeprefix("/")
    with failing_with(HTTPStatus.BAD_REQUEST):
        check_name(name)
    lifecycle.rename(request.instance, request.container(), name)
    return NO_CONTENT


def update(request: Request) -> Response:
    """POST /containers/{name}/update."""
    body = request.body.json(Resources)
    refuse_unsupported(body)
    if body.devices or body.device_cgroup_rules or body.ulimits:
        raise ApiError(HTTPStatus.BAD_REQUEST, "devices and ulimits of a container cannot be changed")
    with failing_with(HTTPStatus.BAD_REQUEST):
        asked = asked_limits(LimitOptions(**limit_options(body)))
        policy = restart_text(body.restart_policy) if body.restart_policy else None
    update_container(request.instance, request.container(), asked, policy or None)
    return answer({"Warnings": []})


def delete(request: Request) -> Response:
    """DELETE /containers/{name}; with `link`, the name is CONTAINER/ALIAS."""
    query = request.query
    if query.flag("link"):
        hot_update.unlink(request.instance, request.parameters["name"])
        return NO_CONTENT
    container = request.container()
    if container.status in ACTIVE and not query.flag("force"):
        with failing_with(HTTPStatus.CONFLICT):
            remove.remove(request.instance, container, False)
    remove.remove(request.instance, container, query.flag("force"), query.flag("v"))
    return NO_CONTENT


def prune(request: Request) -> Response:
    """POST /containers/prune."""
    with failing_with(HTTPStatus.BAD_REQUEST):
        choice = choice_of(checked_filters(request, PRUNE_KEYS))
    removed, freed = prune_stopped(request.instance, choice)
    return answer({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})
