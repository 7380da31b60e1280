"""exec: its description is a file in the container's directory, so that any process of the service can start it."""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from minirun.api import streams
from minirun.api.bodies import Body
from minirun.api.container_streams import content_type, size_of
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request, failing_with
from minirun.cli.container.attach_session import parse_detach_keys
from minirun.engine.environment import with_environment
from minirun.engine.exec import ExecProcess, check_target, start_exec
from minirun.engine.exec_records import ExecRecord, end_of, start_detached
from minirun.engine.lifecycle import KILLED
from minirun.engine.protocol import Kind, frame
from minirun.errors import MinirunError
from minirun.init.exec_process import ExecPlan, ExecRequest
from minirun.init.program import StartError
from minirun.instance import Instance, lock_directory
from minirun.kernel import controllers, processes
from minirun.kernel.sockets import control_connect, control_listen
from minirun.model import Container
from minirun.security.confinement import confinement_for
from minirun.store.lookup import find_container

_DIRECTORY = "exec_requests"
_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "  # as Docker begins it
_ID = re.compile(r"[0-9a-f]{64}\Z")
_KEPT = 300  # seconds: an exec that has ended is told of for so long, as Docker does


class ExecCreate(Body, frozen=True):
    """What a client asks for."""

    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    detach_keys: str | None = None
    tty: bool | None = None
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    privileged: bool | None = None
    user: str | None = None
    working_dir: str | None = None
    console_size: list[int] | None = None


class ExecStart(Body, frozen=True):
    """How it is started."""

    detach: bool | None = None
    tty: bool | None = None
    console_size: list[int] | None = None


class ExecState(msgspec.Struct, frozen=True):
    """What the file has."""

    id: str
    container: str
    asked: ExecCreate
    process: tuple[int, int] = (0, 0)  # pid and start time
    code: int | None = None
    has_started: bool = False


def _directory(instance: Instance, container: str) -> Path:
    return instance.container_dir(container) / _DIRECTORY


def _save(instance: Instance, state: ExecState) -> None:
    """Write it whole: others may read it at any time. A container that is gone has no execs."""
    path = _directory(instance, state.container) / state.id
    part = path.with_name(f".{state.id}.{os.getpid()}")
    with suppress(FileNotFoundError):
        part.write_bytes(msgspec.json.encode(state))
        part.rename(path)


def _find(request: Request) -> ExecState:
    name = request.parameters["id"]
    if _ID.match(name):
        for path in request.instance.root.glob(f"containers/*/{_DIRECTORY}/{name}"):
            with suppress(FileNotFoundError):
                return msgspec.json.decode(path.read_bytes(), type=ExecState)
    raise ApiError(HTTPStatus.NOT_FOUND, f"No such exec instance: {name}")


def _forget_old(directory: Path) -> None:
    """Remove those that ended long ago."""
    for path in directory.iterdir():
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            is_old = time.time() - path.stat().st_mtime > _KEPT
            if is_old and msgspec.json.decode(path.read_bytes(), type=ExecState).code is not None:
                path.unlink()


class _Tracked(ExecRecord):
    """One exec, whose file says how it goes."""

    def __init__(self, instance: Instance, state: ExecState) -> None:
        super().__init__(instance, state.container, _words(state.asked), state.id)
        self.state = state
        self._instance = instance

    def save(self, instance: Instance, **changes: Any) -> None:
        """Write changes to the file."""
        self.state = msgspec.structs.replace(self.state, **changes)
        _save(instance, self.state)

    def has_started(self, pid: int) -> None:
        """The process runs."""
        super().has_started(pid)
        self.save(self._instance, process=(pid, processes.start_time(pid) or 0))

    def has_ended(self, instance: Instance, code: int) -> None:
        """The process has ended."""
        self.save(instance, code=code)
        super().has_ended(instance, code)


def create(request: Request) -> Response:
    """POST /containers/{name}/exec."""
    asked = request.body.json(ExecCreate)
    if not asked.cmd:
        raise ApiError(HTTPStatus.BAD_REQUEST, "No exec command specified")
    with failing_with(HTTPStatus.BAD_REQUEST):
        parse_detach_keys(asked.detach_keys or "")
    instance, container = request.instance, request.container()
    with failing_with(HTTPStatus.CONFLICT):
        check_target(container)
    directory = _directory(instance, container.id)
    directory.mkdir(mode=0o700, exist_ok=True)
    _forget_old(directory)
    state = ExecState(os.urandom(32).hex(), container.id, asked)
    _save(instance, state)
    _Tracked(instance, state).tell(instance, "exec_create")
    return answer({"Id": state.id}, HTTPStatus.CREATED)


def _words(asked: ExecCreate) -> list[str]:
    return [asked.cmd] if isinstance(asked.cmd, str) else asked.cmd or []


def start(request: Request) -> Response | None:
    """POST /exec/{id}/start."""
    body = request.body.json(ExecStart, ExecStart())
    instance = request.instance
    container = find_container(instance.store, _find(request).container)
    with failing_with(HTTPStatus.CONFLICT):
        check_target(container)
    with lock_directory(_directory(instance, container.id)):  # of two clients, one starts it
        state = _find(request)
        if state.has_started:
            is_over = state.code is not None
            raise ApiError(HTTPStatus.CONFLICT, f"exec {state.id} {'has already run' if is_over else 'is running'}")
        tracked = _Tracked(instance, state)
        tracked.save(instance, has_started=True)
    tracked.tell(instance, "exec_start")
    begin = _beginning(instance, container, state.asked, body)
    if not body.detach:
        _start_attached(request, container, tracked, begin, bool(body.tty))
        return None
    try:
        start_detached(instance, tracked, begin)
    except StartError as error:
        tracked.save(instance, code=error.code)
        raise ApiError(HTTPStatus.BAD_REQUEST, f"{_FAILED}{error.text}") from error
    return Response(HTTPStatus.OK)


def _beginning(
    instance: Instance, container: Container, asked: ExecCreate, body: ExecStart
) -> Callable[[], ExecProcess]:
    """What starts the process. The variables that have no value are left out."""
    size = body.console_size or asked.console_size or []
    pairs = (text.partition("=") for text in asked.env or [])
    exec_request = ExecRequest(
        argv=tuple(_words(asked)),
        env=tuple((key, value) for key, equals, value in pairs if equals),
        workdir=asked.working_dir or container.spec.workdir,
        user=asked.user or "",
        privileged=bool(asked.privileged),
        tty=bool(asked.tty) and not body.detach,
        interactive=bool(asked.attach_stdin) and not body.detach,
        detach=bool(body.detach),
        size=(size[0], size[1]) if len(size) == 2 else (0, 0),
    )
    confined = confinement_for(instance, container.spec.security)
    if asked.privileged:  # it keeps the container's system call filter
        confined = replace(confined, profile="")
    groups = tuple(controllers.existing(instance.cgroup, container.id))
    unset = [text for text in asked.env or [] if "=" not in text]
    return partial(start_exec, ExecPlan(with_environment(instance, container, unset), exec_request, confined, groups))


def _start_attached(
    request: Request, container: Container, tracked: _Tracked, begin: Callable[[], ExecProcess], is_raw: bool
) -> None:
    """Carry the streams, and go on without a client that leaves, until the process has ended.

    Whether they are framed is what the client says now: as in Docker, it is not asked whether there is a terminal.

    As in Docker, the connection is taken over before the process is started: a failure is told on the stream, and
    by the exit code.
    """
    asked, instance = tracked.state.asked, request.instance
    sock, behind = request.take_over(content_type(request, is_raw))
    wanted = {number for number, is_wanted in ((1, asked.attach_stdout), (2, asked.attach_stderr)) if is_wanted}
    keys = parse_detach_keys(asked.detach_keys or "") if asked.tty else b""
    client = streams.ClientStream(sock, behind, is_raw, wanted, bool(asked.attach_stdin), keys)
    directory = str(instance.container_dir(container.id))
    resizing = streams.ResizeListener(control_listen(directory, _socket_name(tracked.id)))
    try:
        joined = begin()
        tracked.has_started(joined.pid)
        source = streams.ExecSource(joined, resizing)
        try:
            streams.carry(client, source, stays=True)
            tracked.has_ended(instance, end_of(joined))  # first: a client asks for the exit code at the stream's end
            client.close()
        finally:
            source.close()
            joined.reap_helpers()
    except (StartError, MinirunError) as error:
        text = error.text if isinstance(error, StartError) else error.message
        client.write(streams.STDOUT, f"{_FAILED}{text}\r\n".encode())
        tracked.save(instance, code=error.code)
        client.close()
    finally:
        resizing.close()
        (Path(directory) / _socket_name(tracked.id)).unlink(missing_ok=True)


def _socket_name(exec_id: str) -> str:
    return f"exec.{exec_id[:16]}"


def resize(request: Request) -> Response:
    """POST /exec/{id}/resize."""
    size, state = size_of(request), _find(request)
    if not _runs(state):
        raise ApiError(HTTPStatus.CONFLICT, f"exec {state.id} is not running")
    with suppress(OSError):  # it has just ended, or has no terminal
        directory = str(request.instance.container_dir(state.container))
        with control_connect(directory, _socket_name(state.id)) as channel:
            channel.settimeout(1)
            channel.sendall(frame(Kind.RESIZE, size))
            channel.recv(1)  # its end: the size is set
    return Response(HTTPStatus.OK)


def _runs(state: ExecState) -> bool:
    return state.code is None and bool(state.process[1]) and processes.start_time(state.process[0]) == state.process[1]


def inspect(request: Request) -> Response:
    """GET /exec/{id}/json."""
    state = _find(request)
    asked, is_running = state.asked, _runs(state)
    words = _words(asked)
    return answer(
        {
            "ID": state.id,
            "Running": is_running,
            "ExitCode": state.code if state.code is not None or is_running or not state.process[1] else KILLED,
            "ProcessConfig": {
                "tty": bool(asked.tty),
                "entrypoint": words[0],
                "arguments": words[1:],
                "privileged": bool(asked.privileged),
                **({"user": asked.user} if asked.user else {}),
            },
            "OpenStdin": bool(asked.attach_stdin),
            "OpenStderr": bool(asked.attach_stderr),
            "OpenStdout": bool(asked.attach_stdout),
            "CanRemove": state.code is not None,
            "ContainerID": state.container,
            "DetachKeys": asked.detach_keys or "",
            "Pid": state.process[0] if is_running else 0,
        }
    )
