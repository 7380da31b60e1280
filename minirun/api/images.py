"""Images on this host: list, inspect, history, tag, remove, prune, import, load, save; commit of a container."""

import io
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from minirun.api import registry
from minirun.api.archives import BodyFile
from minirun.api.bodies import ContainerCreate, Healthcheck
from minirun.api.containers import checked_filters
from minirun.api.http import ApiError, ChunkedBody, Response, answer
from minirun.api.image_streams import Messages, streamed
from minirun.api.registry import asked_platform
from minirun.api.request import Request, failing_with
from minirun.archive.layer_content import unpack_archive
from minirun.archive.pack import CHUNK
from minirun.cli.container.files import paused
from minirun.cli.image import images as listing
from minirun.cli.image.tags import PRUNE_KEYS, check_reference, remove_unused, tag_image, takes_all
from minirun.engine.commit import commit as commit_container
from minirun.engine.disk_usage import image_uses
from minirun.engine.lifecycle import tell
from minirun.errors import NotFoundError
from minirun.image import history as image_history
from minirun.image import records
from minirun.image.create import NewImage, add_image
from minirun.image.document import Config
from minirun.image.inspect import describe_image
from minirun.image.instructions import apply
from minirun.image.layers import sweep
from minirun.image.load import Loaded
from minirun.image.load import load as load_images
from minirun.image.platforms import runs
from minirun.image.records import Image
from minirun.image.remove import Removed, remove_image
from minirun.image.resolve import find_image
from minirun.image.save import save as save_images
from minirun.store.lookup import find_container

_TAR = "application/x-tar"
_MISSING = "<missing>"
_Null: Any = ContainerCreate | None
_NULL = ContainerCreate()
_TOLD = 1 << 20  # bytes between two numbers of a load


def _image(request: Request) -> Image:
    """The image that the path names. NotFoundError when it is for another platform than `platform`."""
    platform, name = asked_platform(request), request.parameters["name"]
    with failing_with(HTTPStatus.BAD_REQUEST):
        image = find_image(request.instance, name)
    if platform and not runs(platform, image.platform):
        reason = f"image with reference {name} was found but does not provide the specified platform"
        raise NotFoundError(f"{reason} ({platform}): it is for {image.platform}")
    return image


def list_all(request: Request) -> Response:
    """GET /images/json. As the command does, it removes what killed loads and builds have left."""
    filters = checked_filters(request, listing.KEYS)
    instance = request.instance
    sweep(instance)
    with failing_with(HTTPStatus.BAD_REQUEST):
        found = listing.chosen(instance, filters, request.query.flag("all"))
    digests = records.digests(instance.store)
    shared = {one.id: one.shared for one in image_uses(instance)} if request.query.flag("shared-size") else {}
    shown = [
        {
            "Containers": -1,
            "Created": int(image.created),
            "Id": f"sha256:{image.id}",
            "Labels": image.config.get("Labels") or None,
            "ParentId": f"sha256:{image.parent}" if image.parent else "",
            "RepoDigests": digests.get(image.id, []),
            "RepoTags": references,
            "SharedSize": shared.get(image.id, -1),
            "Size": image.size,
        }
        for image, references in found
    ]
    return answer(shown)


def inspect(request: Request) -> Response:
    """GET /images/{name}/json."""
    if request.query.text("platform") and request.query.flag("manifests"):
        reason = "conflicting options: manifests and platform options cannot both be set"
        raise ApiError(HTTPStatus.BAD_REQUEST, reason)
    return answer(describe_image(request.instance, _image(request)))


def history(request: Request) -> Response:
    """GET /images/{name}/history."""
    image, tags = _image(request), records.tags(request.instance.store)
    return answer(
        [
            {
                "Comment": entry.step.comment,
                "Created": int(entry.step.created),
                "CreatedBy": entry.step.created_by,
                "Id": f"sha256:{entry.image}" if entry.image else _MISSING,
                "Size": entry.size,
                "Tags": tags.get(entry.image) or None,
            }
            for entry in image_history.entries(request.instance, image)
        ]
    )


def tag(request: Request) -> Response:
    """POST /images/{name}/tag."""
    reference = _named(request)
    if not reference:
        raise ApiError(HTTPStatus.BAD_REQUEST, "invalid reference format: repo is empty")
    with failing_with(HTTPStatus.BAD_REQUEST):
        tag_image(request.instance, request.parameters["name"], reference)
    return Response(HTTPStatus.CREATED)


def _named(request: Request) -> str:
    """The reference of `repo` and `tag`, "" without them."""
    repository, tag_ = request.query.text("repo"), request.query.text("tag")
    if not repository:
        return ""
    with failing_with(HTTPStatus.BAD_REQUEST):
        return check_reference(f"{repository}:{tag_}" if tag_ else repository)


def delete(request: Request) -> Response:
    """DELETE /images/{name}."""
    query = request.query
    if "platforms" in query:
        raise ApiError(HTTPStatus.BAD_REQUEST, "platforms is not supported: an image on this host is for one platform")
    with failing_with(HTTPStatus.BAD_REQUEST):
        removed = remove_image(
            request.instance, request.parameters["name"], query.flag("force"), not query.flag("noprune")
        )
    return answer(_lines(removed))


def _lines(removed: Removed) -> list[dict[str, str]]:
    return [{what: name} for what, name in removed.lines]


def prune(request: Request) -> Response:
    """POST /images/prune."""
    filters = checked_filters(request, PRUNE_KEYS)
    with failing_with(HTTPStatus.BAD_REQUEST):
        everything = takes_all(filters)
        removed = remove_unused(request.instance, filters, everything)
    return answer({"ImagesDeleted": _lines(removed) or None, "SpaceReclaimed": sum(removed.sizes)})


def create(request: Request) -> Response:
    """POST /images/create: pull, or import."""
    if request.query.text("fromImage"):
        return registry.pull(request)
    source = request.query.text("fromSrc")
    if not source:
        raise ApiError(HTTPStatus.BAD_REQUEST, "fromImage or fromSrc is missing")
    if source != "-":
        reason = f"{source}: minirun fetches nothing from the network; fetch it and send it with fromSrc=-"
        raise ApiError(HTTPStatus.BAD_REQUEST, reason)
    return _import(request)


def _import(request: Request) -> Response:
    reference, query = _named(request), request.query
    platform = asked_platform(request)
    if platform and platform.system != "linux":
        raise ApiError(HTTPStatus.BAD_REQUEST, f"operating system is not supported: {platform}")
    with failing_with(HTTPStatus.BAD_REQUEST):
        config = apply({}, query.all("changes"))
    new = NewImage(
        config,
        comment=query.text("message") or "Imported from -",
        architecture=platform.architecture if platform else "",
    )

    def work(messages: Messages) -> None:
        stream = reader(request)
        image = add_image(
            request.instance, lambda layer: unpack_archive(stream, layer), new, reference, action="import"
        )
        messages.put(status=f"sha256:{image.id}")

    return streamed(request, work)


def reader(request: Request) -> io.BufferedReader:
    """The body as a file."""
    return io.BufferedReader(BodyFile(request.body), CHUNK)


def load(request: Request) -> Response:
    """POST /images/load."""
    platform, quiet = asked_platform(request), request.query.flag("quiet")

    def work(messages: Messages) -> None:
        current = told = 0

        def advance(count: int) -> None:
            nonlocal current, told
            current += count
            if current - told >= _TOLD and not quiet:
                told = current
                messages.put(status="Loading layers", progressDetail={"current": current}, id="layers")

        for loaded in load_images(request.instance, reader(request), "the archive", platform, advance):
            for text in _loaded_lines(loaded):
                messages.text(f"{text}\n")

    return streamed(request, work, always=True)


def _loaded_lines(loaded: Loaded) -> Iterable[str]:
    for name, old in loaded.renamed:
        yield f"The image {name} already exists, renaming the old one with ID sha256:{old} to empty string"
    yield from (f"Loaded image: {name}" for name in loaded.tags)
    if not loaded.tags:
        yield f"Loaded image ID: sha256:{loaded.id}"


def save_one(request: Request) -> Response:
    """GET /images/{name}/get."""
    return _save(request, [request.parameters["name"]])


def save(request: Request) -> Response:
    """GET /images/get."""
    return _save(request, request.query.all("names"))


def _save(request: Request, names: list[str]) -> Response:
    platform = asked_platform(request)
    with failing_with(HTTPStatus.BAD_REQUEST):
        for image in [find_image(request.instance, name) for name in names] if platform else []:
            if platform and not runs(platform, image.platform):
                raise NotFoundError(f"image sha256:{image.id} is for {image.platform}, and not for {platform}")

    def write(body: ChunkedBody) -> None:
        with failing_with(HTTPStatus.BAD_REQUEST):
            save_images(request.instance, names, body)

    return Response(body=write, content_type=_TAR)


def commit(request: Request) -> Response:
    """POST /commit."""
    query = request.query
    reference = _named(request)
    body = request.body.json(_Null, _NULL)  # clients send "null", too
    if not query.text("container"):
        raise ApiError(HTTPStatus.BAD_REQUEST, 'invalid name or ID supplied: ""')
    instance = request.instance
    container = find_container(instance.store, query.text("container"))
    changes = tuple(line for text in query.all("changes") for line in text.split("\n") if line.strip())
    with paused(instance, container, query.flag("pause", True)), failing_with(HTTPStatus.BAD_REQUEST):
        image = commit_container(
            instance,
            container,
            reference,
            changes,
            query.text("author"),
            query.text("comment"),
            given=_config(body) if body else None,
        )
    image_id = f"sha256:{image.id}"
    tell(instance, container.id, "commit", comment=query.text("comment"), imageID=image_id, imageRef=reference)
    return answer({"Id": image_id}, HTTPStatus.CREATED)


def _config(body: ContainerCreate) -> Config:
    """The image's configuration in the body of a commit."""
    fields: dict[str, Any] = {
        "User": body.user,
        "ExposedPorts": body.exposed_ports,
        "Env": body.env,
        "Cmd": _words(body.cmd),
        "Healthcheck": _health(body.healthcheck),
        "Volumes": body.volumes,
        "WorkingDir": body.working_dir,
        "Entrypoint": _words(body.entrypoint),
        "Labels": body.labels,
        "StopSignal": body.stop_signal,
    }
    return {name: value for name, value in fields.items() if value}  # type: ignore[return-value]


def _words(value: list[str] | str | None) -> list[str] | None:
    if isinstance(value, str):
        return [value] if value else None
    return value


def _health(check: Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    fields = {
        "Test": check.test,
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {name: value for name, value in fields.items() if value}
