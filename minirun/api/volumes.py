"""Volumes: list, inspect, create, remove, prune."""

from http import HTTPStatus

from minirun.api.bodies import Body
from minirun.api.containers import checked_filters
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request, failing_with
from minirun.cli.output.filters import is_true
from minirun.cli.volume import KEYS, PRUNE_KEYS, chosen, prune_unused
from minirun.errors import NotFoundError
from minirun.options.volumes import check_driver, check_volume_name, parse_volume_options
from minirun.volume.inspect import describe_volume
from minirun.volume.records import Volume, find_volume
from minirun.volume.volumes import create_volume, new_name, remove_volume


class VolumeCreate(Body, frozen=True):
    """A volume; without a name, an anonymous one."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: object | None = None


def list_all(request: Request) -> Response:
    """GET /volumes."""
    filters = checked_filters(request, KEYS)
    with failing_with(HTTPStatus.BAD_REQUEST):
        found = chosen(request.instance, filters)
    return answer({"Volumes": [describe_volume(request.instance, volume) for volume in found], "Warnings": None})


def create(request: Request) -> Response:
    """POST /volumes/create. An existing volume of that name is the answer, as it is."""
    body = request.body.json(VolumeCreate, VolumeCreate())
    if body.cluster_volume_spec is not None:
        raise ApiError(HTTPStatus.BAD_REQUEST, "ClusterVolumeSpec is not supported: there is no swarm")
    with failing_with(HTTPStatus.NOT_FOUND):
        check_driver(body.driver or "")
    with failing_with(HTTPStatus.BAD_REQUEST):
        if body.name:
            check_volume_name(body.name)
        options = parse_volume_options(f"{key}={text}" for key, text in (body.driver_opts or {}).items())
    record = Volume(body.name or new_name(), labels=body.labels or {}, options=options, anonymous=not body.name)
    create_volume(request.instance, record)
    stored = find_volume(request.instance.store, record.name)
    return answer(describe_volume(request.instance, stored or record), HTTPStatus.CREATED)


def inspect_one(request: Request) -> Response:
    """GET /volumes/{name}."""
    name = request.parameters["name"]
    volume = find_volume(request.instance.store, name)
    if volume is None:
        raise NotFoundError(f"get {name}: no such volume")
    return answer(describe_volume(request.instance, volume))


def update(request: Request) -> None:
    """PUT /volumes/{name}. Docker's answer without a swarm."""
    reason = "volume update only valid for cluster volumes, but swarm is unavailable"
    raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, reason)


def delete(request: Request) -> None:
    """DELETE /volumes/{name}. With force, one that is missing is no error."""
    try:
        remove_volume(request.instance, request.parameters["name"])
    except NotFoundError:
        if not request.query.flag("force"):
            raise


def prune(request: Request) -> Response:
    """POST /volumes/prune."""
    filters = checked_filters(request, PRUNE_KEYS)
    with failing_with(HTTPStatus.BAD_REQUEST):
        everything = any(is_true("all", text) for text in filters.pop("all", []))
    removed, freed = prune_unused(request.instance, filters, everything)
    return answer({"VolumesDeleted": removed, "SpaceReclaimed": freed})
