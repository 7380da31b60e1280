"""The three files that a container gets from its runtime: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They are kept in the container's state directory and bind-mounted into its tree. A container that shares a network
namespace has a copy of the owner's files, since they describe that namespace.
"""

import socket
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.files import write_private
from minirun.model import DEFAULT_NETWORK, HOST_GATEWAY, Container, Mode, Spec
from minirun.network.dns.veth import DNS_ADDRESS, HOST_NAME, endpoints_with_networks, first_with_names

_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_HOST = Path("/etc/resolv.conf")
_SYSTEMD_RESOLVED = Path("/run/systemd/resolve/resolv.conf")
# Docker's last resort: a container cannot reach a DNS server on the host's loopback.
_FALLBACK = ("8.8.8.8", "8.8.4.4")
_FALLBACK6 = ("2001:4860:4860::8888", "2001:4860:4860::8844")


def hostname_of(instance: Instance, container: Container) -> str:
    """Return the host name that the container sees: --hostname, the namespace owner's, or its short id."""
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
    """Write the three files of a container that is being started into `directory`."""
    owner = directory
    if container.sandbox not in ("", container.id):
        owner = instance.container_dir(container.sandbox)
    hostname = hostname_of(instance, container)
    write_private(directory / "hostname", hostname + "\n")
    if owner != directory:
        for name in ("hosts", "resolv.conf"):
            write_private(directory / name, _read(owner / name))
    elif container.sandbox == "":
        write_private(directory / "hosts", _read(Path("/etc/hosts")) + _extra_lines(instance, container))
        write_private(directory / "resolv.conf", _resolv_conf(container.spec, _read(_HOST)))
    else:
        own = _own_lines(instance, container)
        write_private(directory / "hosts", _LOCAL + _extra_lines(instance, container) + own)
        write_private(directory / "resolv.conf", _own_resolv_conf(instance, container))


def renew_files(instance: Instance, container: Container, directory: Path) -> None:
    """Update the files after the container's networks have changed: its own addresses, and the DNS servers when it has
    gained or lost networks with names.

    `directory` is that of the container or of another member of its sandbox. The files are written in place, since
    bind mounts refer to them.
    """
    hosts, servers = directory / "hosts", directory / "resolv.conf"
    own = _own_lines(instance, container)
    names = {tuple(line.split()[1:]) for line in own.splitlines()} | {(HOST_NAME,), _names_of(instance, container)}
    kept = [line for line in _read(hosts).splitlines() if tuple(line.split()[1:]) not in names]
    _write_in_place(hosts, "".join(f"{line}\n" for line in kept) + own)
    wanted = _own_resolv_conf(instance, container)
    if (str(DNS_ADDRESS) in wanted) != (str(DNS_ADDRESS) in _read(servers)):
        _write_in_place(servers, wanted)


def remove_links(instance: Instance, directory: Path, linked: Iterable[str], alias: str) -> None:
    """Remove the lines of --link with this alias for containers, given by id, from the hosts file of a directory."""
    others = (instance.store.container(one) for one in linked)
    gone = {_names_of_link(instance, other, alias) for other in others if other is not None}
    kept = [line for line in _read(directory / "hosts").splitlines() if tuple(line.split()[1:]) not in gone]
    _write_in_place(directory / "hosts", "".join(f"{line}\n" for line in kept))


def _write_in_place(path: Path, text: str) -> None:
    if _read(path) != text:
        with open(path, "w", errors="surrogateescape") as file:
            file.write(text)


def reachable_servers(host: str, has_ipv6: bool) -> str:
    """Return the host's resolv.conf without the DNS servers that a container cannot reach.

    These are servers on the host's loopback, IPv6 ones for a container without IPv6, and link-local ones: their
    interface (`fe80::1%eth0`) is one of the host's.
    """
    lines = [line for line in host.splitlines() if _is_reachable(line, has_ipv6)]
    if not any(line.split()[:1] == ["nameserver"] for line in lines):
        lines += [f"nameserver {address}" for address in (*_FALLBACK, *(_FALLBACK6 if has_ipv6 else ()))]
    return "".join(line + "\n" for line in lines)


def _own_resolv_conf(instance: Instance, container: Container) -> str:
    """In a network with names, minirun's DNS server is the only one: it forwards to those of --dns, or the host's."""
    spec = container.spec
    endpoints = endpoints_with_networks(instance, container.sandbox)
    if set(spec.network.names) <= {DEFAULT_NETWORK} or not first_with_names(endpoints):
        has_ipv6 = any(endpoint.address6 for endpoint, _ in endpoints)
        return _resolv_conf(spec, reachable_servers(_host_resolv_conf(), has_ipv6))
    kept = [line for line in _read(_HOST).splitlines() if line.split()[:1] and line.split()[0] in ("search", "options")]
    text = "".join(f"{line}\n" for line in [f"nameserver {DNS_ADDRESS}", *kept])
    lines = _resolv_conf(replace(spec, dns=()), text).splitlines()
    options = [word for line in lines if line.startswith("options") for word in line.split()[1:]]
    if not any(word.startswith("ndots:") for word in options):
        options.append("ndots:0")  # Docker's: query a name without a dot as it is first
    lines = [line for line in lines if not line.startswith("options")]
    return "\n".join([*lines, f"options {' '.join(options)}", ""])


def _resolv_conf(spec: Spec, text: str) -> str:
    """Replace the host's lines of each kind that --dns, --dns-search or --dns-option gives (resolv.conf(5))."""
    kinds = {"nameserver": spec.dns, "search": spec.dns_search, "options": spec.dns_options}
    if not any(kinds.values()):
        return text
    kept = [line for line in text.splitlines() if not kinds.get((line.split() or [""])[0])]
    added = [f"nameserver {address}" for address in spec.dns]
    if spec.dns_search and spec.dns_search != (".",):
        added.append("search " + " ".join(spec.dns_search))
    if spec.dns_options:
        added.append("options " + " ".join(spec.dns_options))
    return "".join(f"{line}\n" for line in kept + added)


def _host_resolv_conf() -> str:
    text = _read(_HOST)
    if "127.0.0.53" in text and _SYSTEMD_RESOLVED.exists():
        return _read(_SYSTEMD_RESOLVED)
    return text


def _is_reachable(line: str, has_ipv6: bool) -> bool:
    """Return False for a line `nameserver ADDRESS` whose server a container cannot reach."""
    words = line.split()
    if words[:1] != ["nameserver"] or len(words) < 2:
        return True
    try:
        address = ip_address(words[1])
    except ValueError:
        return True
    if isinstance(address, IPv6Address):
        return has_ipv6 and not address.is_loopback and not address.is_link_local
    return not address.is_loopback


def _own_lines(instance: Instance, container: Container) -> str:
    endpoints = instance.store.endpoints(sandbox=container.id)
    names = " ".join(_names_of(instance, container))
    own = (address for endpoint in endpoints for address in (endpoint.address, endpoint.address6) if address)
    lines = "".join(f"{address}\t{names}\n" for address in own)
    if endpoints and set(container.spec.network.names) == {DEFAULT_NETWORK}:  # elsewhere the DNS server knows it
        lines += f"{_gateway(instance, container)}\t{HOST_NAME}\n"
    return lines


def _names_of(instance: Instance, container: Container) -> tuple[str, ...]:
    hostname, domain = hostname_of(instance, container), container.spec.domainname
    return (f"{hostname}.{domain}", hostname) if domain else (hostname,)


def _extra_lines(instance: Instance, container: Container) -> str:
    """Return the lines of --add-host and --link."""
    spec, lines = container.spec, []
    for name, address in spec.extra_hosts:
        lines.append(f"{_gateway(instance, container) if address == HOST_GATEWAY else address}\t{name}\n")
    for linked, alias in _hosts_links(spec):
        other = instance.store.container(linked)
        endpoints = instance.store.endpoints(sandbox=linked)
        if other is None or not endpoints:
            name = other.name if other else linked[:12]
            raise MinirunError(f"Cannot link to a non running container: {name} AS {alias}", "start it first", FAILED)
        lines.append(f"{endpoints[0].address}\t{' '.join(_names_of_link(instance, other, alias))}\n")
    return "".join(lines)


def _names_of_link(instance: Instance, linked: Container, alias: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((alias, hostname_of(instance, linked), linked.name)))


def _hosts_links(spec: Spec) -> tuple[tuple[str, str], ...]:
    """On the default network, links are lines in the hosts file; elsewhere the DNS server knows them."""
    on_default = [attachment for attachment in spec.network.attachments if attachment.network == DEFAULT_NETWORK]
    return on_default[0].links if on_default else ()


def _gateway(instance: Instance, container: Container) -> str:
    """Return the host's address as the container sees it."""
    for endpoint in instance.store.endpoints(sandbox=container.id):
        network = instance.store.network(endpoint.network)
        if network and network.pool:
            return str(network.gateway)
    if container.sandbox == "":
        return "127.0.0.1"
    raise MinirunError(f"unable to derive the IP value for {HOST_GATEWAY}: the container has no network", code=FAILED)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
