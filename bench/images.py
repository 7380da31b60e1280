"""Images: pull from a registry on loopback, load and save. The same image for every engine, removed before each time.

The registry is Debian's docker-registry, one process on each engine's host, all with the same files. minirun fills it.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import namespaces
from bench.clock import SETTLE, say
from bench.commands import rounds, shuffled
from bench.contenders import Contender, UnableError
from bench.results import Results
from bench.rows import GROUPS, ROWS

_LAYERS, _FILES, _FILE_SIZE = 6, 830, 40_000  # 200 MB
_ADDRESS = "127.0.0.1:5000"
_LOADED, _PULLED = "bench:1", f"{_ADDRESS}/bench:1"
_PULL = {"podman": ("pull", "--tls-verify=false")}
_REGISTRY = "debian-packages/tree-docker-registry/usr/bin/docker-registry"  # where minirun's tests unpack it
_CONFIG = "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n" + (
    "storage: {{filesystem: {{rootdirectory: {files}}}}}\nhttp: {{addr: '{address}'}}\n"
)
_SMALL_BUFFERS = "4096 16384 16384"
_HEADERS = 66  # bytes of a packet: Ethernet, IPv4, TCP with timestamps
_TIMEOUT = 300.0


def measure(engines: Sequence[Contender], work: Path, minirun: str, results: Results, repeat: int) -> None:
    rows = [row for row in GROUPS["images"].rows if row in results.rows]
    registry = shutil.which("docker-registry") or str(Path(minirun).parent.parent / _REGISTRY)
    own = next((one for one in engines if one.name == "minirun"), None)
    if not rows:
        return
    if own is None or not os.access(registry, os.X_OK):
        say(f"no images are measured: {'minirun' if own is None else 'docker-registry'} is not there")
        return
    archive = work / "bench-image.tar"
    _write_image(archive)
    with ExitStack() as stack:
        for one in engines:
            stack.enter_context(_registry(registry, work, one))
        for words in (("load", "-i", str(archive)), ("tag", _LOADED, _PULLED), ("push", _PULLED)):
            own.must(*words, timeout=_TIMEOUT)
        size = sum(path.stat().st_size for path in (work / "registry").rglob("data"))
        for turn in rounds("images", repeat):
            for one in shuffled(engines, turn):
                for row in rows:
                    _time(one, row, archive, size, results)
    archive.unlink()


def _time(one: Contender, row: str, archive: Path, size: int, results: Results) -> None:
    """Each row begins with an engine that does not have the image."""
    output = archive.with_name("saved.tar")
    load, pull = ("load", "-i", str(archive)), (*_PULL.get(one.name, ("pull",)), _PULLED)
    try:
        _remove(one)
        if row == "image-killed":
            results.add(row, one.name, 100 * _pull_again(one, pull, size) / size)
            return
        if row.startswith("image-save"):
            one.must(*(load if row == "image-save-loaded" else pull), timeout=_TIMEOUT)
            timed = ("save", "-o", str(output), _LOADED if row == "image-save-loaded" else _PULLED)
        else:
            timed = load if row == "image-load" else pull
        seconds, error = one.run(*timed, timeout=_TIMEOUT)
        if error is not None:
            raise UnableError(error)
        results.add(row, one.name, seconds)
    except UnableError as error:
        results.fail(row, one.name)
        say(f"{one.name}, {ROWS[row].title}: {error}")
    finally:
        output.unlink(missing_ok=True)
        _remove(one)
        time.sleep(SETTLE)


def _remove(one: Contender) -> None:
    for name in (_LOADED, _PULLED):
        one.run("rmi", "-f", name)


def _pull_again(one: Contender, pull: tuple[str, ...], size: int) -> int:
    """Kill the client of a pull at half. Return the bytes that the next pull receives.

    The sockets' buffers are small, or much of what was sent would not have been received by anybody.
    """
    with namespaces.within(one.host):
        for name in ("tcp_rmem", "tcp_wmem"):
            Path(f"/proc/sys/net/ipv4/{name}").write_text(_SMALL_BUFFERS)
        start = _received()
        client = subprocess.Popen(
            [*one.command, *pull], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait(lambda: _received() - start > size / 2 or client.poll() is not None)
        if client.poll() is not None:
            raise UnableError("the pull was over before its half")
        client.kill()
        client.wait()
        time.sleep(1)  # a daemon notices that its client is gone
        start = _received()
    one.must(*pull, timeout=_TIMEOUT)
    with namespaces.within(one.host):
        return _received() - start


def _received() -> int:
    """Bytes that have passed lo, without headers; only the registry and its client use it."""
    line = next(line for line in Path("/proc/thread-self/net/dev").read_text().splitlines() if "lo:" in line)
    size, packets = map(int, line.split()[1:3])
    return size - packets * _HEADERS


@contextmanager
def _registry(program: str, work: Path, one: Contender) -> Iterator[None]:
    config = work / "registry.yml"
    config.write_text(_CONFIG.format(files=work / "registry", address=_ADDRESS))
    with namespaces.within(one.host):
        process = subprocess.Popen(
            [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(lambda: ":1388 00000000:0000 0A" in Path("/proc/thread-self/net/tcp").read_text())
        except BaseException:
            process.kill()
            raise
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise UnableError(f"nothing happened for {seconds:.0f} seconds")
        time.sleep(0.001)


def _write_image(path: Path) -> None:
    """Files that compress to about a third, as programs do; always the same."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(2, 12)) for _ in range(4000)]
    texts = [b"".join(chance.choices(words, k=_FILE_SIZE // 5))[:_FILE_SIZE] for _ in range(60)]
    diff_ids = []
    with tarfile.open(path, "w") as tar:
        for number in range(_LAYERS):
            layer = io.BytesIO()
            with tarfile.open(fileobj=layer, mode="w") as content:
                for index in range(_FILES):
                    half = _FILE_SIZE // 2
                    data = chance.choice(texts)[:half] + chance.choice(texts)[half:]
                    _add(content, f"layer{number}/{index % 20}/{index}", data)
            diff_ids.append(f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}")
            _add(tar, f"{number}/layer.tar", layer.getvalue())
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        _add(tar, "config.json", json.dumps({**config, "config": {}, "history": []}).encode())
        paths = [f"{number}/layer.tar" for number in range(_LAYERS)]
        entry = {"Config": "config.json", "RepoTags": [_LOADED], "Layers": paths}
        _add(tar, "manifest.json", json.dumps([entry]).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
