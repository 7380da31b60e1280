"""Which servers stand for a registry's name, and how far each is trusted: mirrors, insecure registries, certificates,
and by which proxy they are reached.

dockerd(8), --registry-mirror and --insecure-registry; https://docs.docker.com/engine/security/certificates/
"""

import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from minirun.config import Config
from minirun.errors import MinirunError
from minirun.image.reference import DOCKER_HUB

CERTIFICATES = (Path("/etc/minirun/certs.d"), Path("/etc/docker/certs.d"))
_HUB_HOST = "registry-1.docker.io"
_CREDENTIAL_KEY_OF_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Endpoint:
    """One server of a registry.

    urls: how to reach it, to be tried in this order: https://HOST[:PORT], for an insecure one also http://HOST[:PORT]
    credential_key: the name of its credentials in Docker's config.json
    """

    urls: tuple[str, ...]
    credential_key: str
    is_mirror: bool = False


def credential_key(domain: str) -> str:
    """The name under which Docker keeps a registry's credentials."""
    return _CREDENTIAL_KEY_OF_HUB if domain in (DOCKER_HUB, "index.docker.io", _HUB_HOST) else domain


def endpoints(domain: str, config: Config) -> list[Endpoint]:
    """The servers of a registry, mirrors first."""
    if domain != DOCKER_HUB:
        schemes = ("https", "http") if is_insecure(domain, config) else ("https",)
        return [Endpoint(tuple(f"{scheme}://{domain}" for scheme in schemes), domain)]
    # A mirror has credentials of its own: those for Docker Hub are none of its business.
    mirrors = [Endpoint((mirror,), urlsplit(mirror).netloc, True) for mirror in config.registry_mirrors]
    return [*mirrors, Endpoint((f"https://{_HUB_HOST}",), _CREDENTIAL_KEY_OF_HUB)]


def is_insecure(host: str, config: Config) -> bool:
    """Whether HOST[:PORT] may be spoken to without TLS, or with a certificate that nobody vouches for.

    These are the machine itself, as Docker has it, and what insecure-registries lists.
    """
    name = (urlsplit(f"//{host}").hostname or "").lower()
    if name == "localhost" or host.lower() in config.insecure_registries or name in config.insecure_registries:
        return True
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"), *config.insecure_networks]
    try:
        addresses = [ipaddress.ip_address(name)]
    except ValueError:
        addresses = _addresses(name) if config.insecure_networks else []
    return any(address in network for address in addresses for network in networks)


def _addresses(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def tls_context(host: str, config: Config) -> ssl.SSLContext:
    """What HOST[:PORT] has to prove, and the certificates that prove this machine to it.

    certs.d/HOST[:PORT]/ holds *.crt, authorities besides the system's, and *.cert with *.key, for this machine.
    MinirunError if one of them cannot be used.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the default from Python 3.13; Go accepts such authorities
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if is_insecure(host, config):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in CERTIFICATES:
        for path in _files(directory / host):
            try:
                _load(context, path)
            except OSError as error:
                raise MinirunError(f"cannot use {path}: {error.strerror or error}", "correct it or remove it") from None
    return context


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise MinirunError(f"cannot read {directory}: {error.strerror}") from None


def _load(context: ssl.SSLContext, path: Path) -> None:
    if path.suffix == ".crt":
        context.load_verify_locations(path)
    elif path.suffix == ".cert":
        key = path.with_suffix(".key")
        if not os.path.exists(key):
            hint = "authorities have the extension .crt"
            raise MinirunError(f"missing key {key.name} for client certificate {path}", hint)
        context.load_cert_chain(path, key, password="")
    elif path.suffix == ".key" and not os.path.exists(path.with_suffix(".cert")):
        raise MinirunError(f"missing client certificate {path.stem}.cert for key {path}")


def proxy_for(scheme: str, host: str) -> str:
    """The proxy of HTTP_PROXY, HTTPS_PROXY and NO_PROXY for HOST[:PORT], "" for none. MinirunError if it is unusable.

    As Go has it, the machine itself is reached directly, and NO_PROXY may hold networks (10.0.0.0/8).
    """
    proxies = getproxies_environment()
    proxy = proxies.get(scheme, "")
    name = urlsplit(f"//{host}").hostname or ""
    if not proxy or name == "localhost" or proxy_bypass(host, proxies) or _in_networks(name, proxies):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        variable = f"{scheme.upper()}_PROXY"
        raise MinirunError(
            f"invalid {variable}: it must be a URL of an HTTP proxy", "such as http://proxy.example:3128"
        )
    return proxy


def _in_networks(name: str, proxies: Mapping[str, str]) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    for text in proxies.get("no", "").split(","):
        try:
            if address in ipaddress.ip_network(text.strip(), strict=False):
                return True
        except ValueError:
            continue
    return address.is_loopback
