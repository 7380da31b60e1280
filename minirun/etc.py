"""The three files that a container gets from its runtime: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They live in the container's state directory and are bound into its tree. A container that shares a namespace has
the files of whoever it shares it with, for they describe that namespace.
"""

import socket
from pathlib import Path

from minirun.files import write_private
from minirun.instance import Instance
from minirun.model import Container, Mode

_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_SYSTEMD_RESOLVED = Path("/run/systemd/resolve/resolv.conf")
# Docker's own last resort: a container cannot reach a resolver on the host's loopback.
_FALLBACK = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def hostname_of(instance: Instance, container: Container) -> str:
    spec = container.spec
    if spec.hostname:
        return spec.hostname
    if spec.network.mode is Mode.HOST:
        return socket.gethostname()
    if spec.network.mode is Mode.CONTAINER:
        owner = instance.store.container(container.sandbox)
        return hostname_of(instance, owner) if owner else socket.gethostname()
    return container.short_id


def write_files(instance: Instance, container: Container, directory: Path) -> None:
    owner = directory
    if container.sandbox not in ("", container.id):
        owner = instance.container_dir(container.sandbox)
    hostname = hostname_of(instance, container)
    write_private(directory / "hostname", hostname + "\n")
    if owner != directory:
        for name in ("hosts", "resolv.conf"):
            write_private(directory / name, _read(owner / name))
    elif container.sandbox == "":
        write_private(directory / "hosts", _read(Path("/etc/hosts")))
        write_private(directory / "resolv.conf", _read(Path("/etc/resolv.conf")))
    else:
        write_private(directory / "hosts", _LOCAL + _own_lines(instance, container, hostname))
        write_private(directory / "resolv.conf", resolvers(_host_resolv_conf()))


def resolvers(host: str) -> str:
    """The host's resolv.conf without the resolvers that only the host itself can reach."""
    lines = [line for line in host.splitlines() if not _is_loopback_resolver(line)]
    text = "".join(line + "\n" for line in lines)
    return text if any(line.split()[:1] == ["nameserver"] for line in lines) else text + _FALLBACK


def _host_resolv_conf() -> str:
    text = _read(Path("/etc/resolv.conf"))
    if "127.0.0.53" in text and _SYSTEMD_RESOLVED.exists():
        return _read(_SYSTEMD_RESOLVED)
    return text


def _is_loopback_resolver(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "nameserver" and (words[1].startswith("127.") or words[1] == "::1")


def _own_lines(instance: Instance, container: Container, hostname: str) -> str:
    endpoints = instance.store.endpoints(sandbox=container.id)
    return "".join(f"{endpoint.address}\t{hostname}\n" for endpoint in endpoints)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
