"""GET /containers/{name}/stats."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from minirun.api.http import Response, answer
from minirun.api.request import Request
from minirun.engine.liveness import is_running, member_pids
from minirun.instance import Instance
from minirun.kernel.controllers import existing
from minirun.kernel.procfs import link_counters
from minirun.kernel.usage import Usage, usage
from minirun.model import Container
from minirun.options.values import timestamp

_PERIOD = 1.0  # seconds between two readings
_NEVER = "0001-01-01T00:00:00Z"


def stats(request: Request) -> Response:
    """Once, or each second until the container is removed or the client leaves."""
    container, query = request.container(), request.query
    if query.flag("stream", default=True):
        return Response(body=_each_second(request, container))
    before = None
    if not query.flag("one-shot"):
        before = _read(request.instance, container)
        request.wait([], _PERIOD)
    return answer(_described(container, _read(request.instance, container), before))


def _each_second(request: Request, container: Container) -> Iterator[bytes]:
    before = None
    while (current := request.instance.store.container(container.id)) is not None:
        now = _read(request.instance, current)
        yield msgspec.json.encode(_described(current, now, before)) + b"\n"
        before = now
        request.wait([], _PERIOD)


class _Reading(msgspec.Struct, frozen=True):
    moment: int  # nanoseconds since the epoch
    used: Usage | None  # None: the container does not run
    links: dict[str, dict[str, int]]


def _read(instance: Instance, container: Container) -> _Reading:
    if not is_running(container) or container.init is None:
        return _Reading(time.time_ns(), None, {})
    groups = existing(instance.cgroup, container.id)
    used = usage(groups, () if groups else member_pids(instance, container))
    # In the host's network namespace the links are the host's.
    links = link_counters(container.init.pid) if container.sandbox else {}
    return _Reading(time.time_ns(), used, links)


def _described(container: Container, now: _Reading, before: _Reading | None) -> dict[str, Any]:
    """As Docker's StatsResponse; without a reading, as of a stopped container."""
    used = now.used
    common: dict[str, Any] = {
        "name": f"/{container.name}",
        "id": container.id,
        "read": timestamp(now.moment) if used else _NEVER,
        "preread": timestamp(before.moment) if before and before.used else _NEVER,
        "num_procs": 0,
        "storage_stats": {},
    }
    empty_cpu = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    if used is None:
        empty = {"pids_stats": {}, "memory_stats": {}, "blkio_stats": _block(None)}
        return common | empty | {"cpu_stats": empty_cpu, "precpu_stats": empty_cpu}
    return common | {
        "pids_stats": {"current": used.pids},
        "blkio_stats": _block(used),
        "cpu_stats": empty_cpu | _cpu(used),
        "precpu_stats": empty_cpu | (_cpu(before.used) if before and before.used else {}),
        "memory_stats": {"usage": used.memory_bytes, "limit": used.memory_limit, "stats": {}},
        **({"networks": now.links} if now.links else {}),
    }


def _cpu(used: Usage) -> dict[str, Any]:
    return {
        "cpu_usage": {"total_usage": used.cpu_ns, "usage_in_kernelmode": 0, "usage_in_usermode": used.cpu_ns},
        "system_cpu_usage": used.system_cpu_ns,
        "online_cpus": used.online_cpus,
    }


def _block(used: Usage | None) -> dict[str, Any]:
    names = ("io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive")
    others = ("io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive")
    found: dict[str, Any] = dict.fromkeys((*names, *others))
    if used is not None and used.block_read is not None:
        found[names[0]] = [
            {"major": 0, "minor": 0, "op": "read", "value": used.block_read},
            {"major": 0, "minor": 0, "op": "write", "value": used.block_write or 0},
        ]
    return found
