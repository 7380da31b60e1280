"""POST /build as the classic builder answers it, and POST /build/prune.

https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageBuild
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar, cast

from minirun.api.bodies import Ulimit
from minirun.api.build_messages import BuildMessages, HeldMessages
from minirun.api.buildkit import REASON
from minirun.api.containers import checked_filters
from minirun.api.http import ApiError, Response, answer
from minirun.api.image_streams import Messages, streamed
from minirun.api.images import reader
from minirun.api.json_bodies import decode
from minirun.api.registry import credentials_for_build, pull_one
from minirun.api.request import Request, failing_with
from minirun.cli.container.options import LimitOptions
from minirun.cli.container.spec import asked_limits
from minirun.cli.image.build import BaseImages, Options, build_options, warn_of_dockerfile
from minirun.cli.image.builder import KEYS as PRUNE_KEYS
from minirun.cli.image.builder import prune_unused
from minirun.cli.refused import REFUSED
from minirun.engine.build.builder import Built
from minirun.engine.build.builder import build as build_image
from minirun.engine.build.options import BuildOptions
from minirun.engine.start import WaitingShim
from minirun.image.build.context import sent_context
from minirun.image.dockerfile.parser import parse
from minirun.image.dockerfile.source import DockerfileError
from minirun.image.dockerfile.stages import make_plan
from minirun.image.layers import new_layer
from minirun.image.platforms import Platform
from minirun.image.pull import Pulled
from minirun.image.reference import Reference
from minirun.image.registry.credentials import CredentialStore
from minirun.kernel.limits import of as limits_from
from minirun.options.limits import check_limits
from minirun.shim import prefork

T = TypeVar("T")
_REFUSED = {  # parameter: the option of that meaning, whose reason is the parameter's
    "securityopt": "security-opt",
    "cgroupparent": "cgroup-parent",
    "squash": "squash",
    "outputs": "output",
}
_NOTHING = ("", "0", "false", "null", "[]", "{}")
_CACHE_LIMITS = ("keep-storage", "reserved-space", "max-used-space", "min-free-space")
_KEPT_CONTAINERS = "rm=0 keeps no container: those of RUN are always removed"


def build(request: Request) -> Response:
    """POST /build."""
    shim = WaitingShim(*prefork.spawn())  # before the records are opened: SQLite must not be forked
    try:
        with failing_with(HTTPStatus.BAD_REQUEST):
            _refuse(request)
            asked = {**build_options(_options(request), {}), "limits": _limits(request), "stages_at_once": 1}
        store = credentials_for_build(request)
    except BaseException:
        shim.channel.close()
        raise

    def work(messages: Messages) -> None:
        try:
            with _held(messages, request.query.flag("q")) as told:
                built = _build(request, shim, asked, store, told)
                told.put(aux={"ID": f"sha256:{built.image.id}"})
                told.text(f"Successfully built {built.image.id[:12]}\n")
                for tag in built.tags:
                    told.text(f"Successfully tagged {tag}\n")
            if request.query.flag("q"):
                messages.text(f"sha256:{built.image.id}\n")
        finally:
            shim.channel.close()

    return streamed(request, work)


def _build(
    request: Request, shim: WaitingShim, asked: dict[str, Any], store: CredentialStore, messages: Messages
) -> Built:
    instance, query = request.instance, request.query
    with new_layer(instance) as scratch:
        with failing_with(HTTPStatus.BAD_REQUEST):
            context = sent_context(cast(BinaryIO, reader(request)), query.text("dockerfile"), scratch)
            dockerfile = parse(context.dockerfile, context.name)
            plan = make_plan(
                dockerfile, asked["build_args"], asked["platform"], asked["build_platform"], asked["target"]
            )
        progress = BuildMessages(messages, dockerfile, plan)
        if not query.flag("rm", True):
            progress.warn(_KEPT_CONTAINERS)
        if _has(request, "cachefrom"):
            progress.warn(f"cachefrom changes nothing: {REFUSED['build']['cache-from']}")
        warn_of_dockerfile(dockerfile, asked, progress)

        def pull(reference: Reference, platform: Platform) -> Pulled:
            return pull_one(instance, reference, platform, store, messages)

        fetch = BaseImages(instance, query.flag("pull"), pull)
        try:
            return build_image(instance, shim, context, dockerfile, BuildOptions(fetch=fetch, **asked), progress)
        except DockerfileError as error:
            progress.fail(error.lines)
            raise


@contextmanager
def _held(messages: Messages, is_quiet: bool) -> Iterator[Messages]:
    """With `q`, what is told in the block is sent only if it fails."""
    if not is_quiet:
        yield messages
        return
    held = HeldMessages(messages)
    with closing(held):
        try:
            yield held
        except Exception:
            held.send()
            raise


def _refuse(request: Request) -> None:
    """ApiError for what a build here has not."""
    query = request.query
    for name, flag in _REFUSED.items():
        if _has(request, name):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"{name} is not supported: {REFUSED['build'][flag]}")
    if query.text("version", "1") not in ("", "1"):
        raise ApiError(HTTPStatus.BAD_REQUEST, REASON)
    if remote := query.text("remote"):
        reason = "a remote build context is not supported: fetch it and send it as an archive"
        raise ApiError(HTTPStatus.BAD_REQUEST, f"{remote}: {reason}")
    if query.text("isolation") not in ("", "default"):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"isolation is not supported: {REFUSED['build']['isolation']}")


def _has(request: Request, name: str) -> bool:
    return request.query.text(name).strip().lower() not in _NOTHING


def _options(request: Request) -> Options:
    """The query as the options of `minirun build`, which are parsed alike."""
    query = request.query
    arguments = _json(request, "buildargs", dict[str, str | None]) or {}
    labels = _json(request, "labels", dict[str, str]) or {}
    ulimits = _json(request, "ulimits", list[Ulimit]) or []
    return Options(
        add_host=query.all("extrahosts"),
        build_arg=[f"{name}={value}" for name, value in arguments.items() if value is not None],
        label=[f"{name}={value}" for name, value in labels.items()],
        network=query.text("networkmode") or "default",
        no_cache=query.flag("nocache"),
        platform=query.text("platform").lower(),
        shm_size=query.text("shmsize") if query.number("shmsize") else "",
        tag=[tag for tag in query.all("t") if tag],
        target=query.text("target"),
        ulimit=[f"{one.name}={one.soft}:{one.hard}" for one in ulimits],
    )


def _json(request: Request, name: str, kind: type[T]) -> T | None:
    """A parameter that is JSON. ApiError when it is something else."""
    text = request.query.text(name)
    if not text:
        return None
    try:
        return decode(text, kind) if text.strip() != "null" else None
    except (ValueError, RecursionError) as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"error reading {name}: {error}") from None


def _limits(request: Request) -> tuple[tuple[str, int | str], ...]:
    """The limits of RUN's containers; 0 is none."""
    query = request.query
    swap = query.number("memswap")
    limits = asked_limits(
        LimitOptions(
            memory=str(query.number("memory")) if query.number("memory") else None,
            memory_swap=str(swap) if swap else None,
            cpu_shares=query.number("cpushares") or None,
            cpu_period=query.number("cpuperiod") or None,
            cpu_quota=query.number("cpuquota") or None,
            cpuset_cpus=query.text("cpusetcpus") or None,
            cpuset_mems=query.text("cpusetmems") or None,
        )
    )
    check_limits(limits_from(limits))
    return limits


def prune(request: Request) -> Response:
    """POST /build/prune."""
    query = request.query
    for name in _CACHE_LIMITS:
        if _has(request, name):
            reason = REFUSED["builder prune"].get(name, "")
            raise ApiError(HTTPStatus.BAD_REQUEST, f"{name} is not supported: {reason}")
    filters = checked_filters(request, PRUNE_KEYS)
    with failing_with(HTTPStatus.BAD_REQUEST):
        removed, freed = prune_unused(request.instance, filters, query.flag("all"))
    return answer({"CachesDeleted": removed or None, "SpaceReclaimed": freed})
