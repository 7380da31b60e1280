"""HTTP to registries and to where they redirect: connections, proxies, redirects, time-outs.

Requests carry `Accept-Encoding: identity`, and bodies are given as they were sent: digests are those of the raw bytes.
"""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
import urllib3.exceptions

from minirun import __version__
from minirun.config import Config
from minirun.image.registry.errors import CancelledError, RegistryError, unreachable
from minirun.image.registry.hosts import is_insecure, proxy_for, tls_context

_CONNECT_TIMEOUT = 15.0  # seconds, for each address of a host
_READ_TIMEOUT = 60.0  # seconds between two bytes
_STORE_TIMEOUT = 600.0  # until a registry has stored what was sent
_CONNECTIONS = 16  # kept for each host
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
FAILURES = (urllib3.exceptions.HTTPError, OSError, ValueError)  # ValueError: a header that http.client refuses


@dataclass(frozen=True)
class Request:
    """One request.

    open_body: opens the body, once for each try; `length` is its size in bytes
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    open_body: Callable[[], IO[bytes]] | None = None
    length: int = 0


@dataclass
class Response:
    """An answer whose body is read from `raw`. `url` is where it came from, after redirects."""

    raw: urllib3.BaseHTTPResponse
    url: str

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.raw.status

    def header(self, name: str) -> str:
        """A header, "" if there is none."""
        return self.raw.headers.get(name) or ""

    def content(self, most: int) -> bytes:
        """Read the body and give the connection back. RegistryError if it is longer than `most` bytes or cut off."""
        try:
            body = self.raw.read(most + 1, decode_content=False)
            if len(body) > most:
                self.raw.close()
                raise RegistryError(f"the answer of {self.url} is too large", f"more than {most} bytes are not read")
            self.raw.release_conn()
        except FAILURES as error:
            self.raw.close()
            raise unreachable("Get", self.url, error) from None
        return body

    def discard(self) -> None:
        """Give the connection back if the rest of the body is short."""
        try:
            self.content(1 << 16)
        except RegistryError:
            pass


class Transport:
    """Sends requests, from any thread. After `cancel` each request and each download fails at once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cancelled = threading.Event()
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._open: set[urllib3.BaseHTTPResponse] = set()

    def cancel(self) -> None:
        """Wake every thread that waits for a registry, and close the connections that nobody uses."""
        self.cancelled.set()
        with self._lock:
            waiting = list(self._open)
            for manager in self._managers.values():
                manager.clear()
        for response in waiting:
            try:
                response.shutdown()
            except (OSError, ValueError):
                pass  # it has ended already

    def follow(self, request: Request) -> Response:
        """Send a request and follow redirects. Authorization stays with the server that it is for.

        UnreachableError if a server does not answer, RegistryError for a redirect that leads nowhere.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._send(request)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.discard()
            request = self._redirected(request, response.status, location)
        raise RegistryError(f"{request.url}: stopped after {_MOST_REDIRECTS} redirects")

    def _redirected(self, request: Request, status: int, location: str) -> Request:
        url = urljoin(request.url, location)
        self.check_url(url, came_from=request.url)
        headers = request.headers
        if origin(url) != origin(request.url):
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
        if status in (301, 302, 303) and request.method not in ("GET", "HEAD"):
            return Request("GET", url, headers)
        return replace(request, url=url, headers=headers)

    def check_url(self, url: str, came_from: str) -> None:
        """Check where a registry sends us. RegistryError for what is no URL, or for HTTP to a host that needs TLS."""
        try:
            parts = urlsplit(url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_url = False
        if not is_url:
            raise RegistryError(f"{came_from} leads to {url[:200]!r}, which is no HTTP URL")
        if (
            parts.scheme == "http"
            and urlsplit(came_from).scheme == "https"
            and not is_insecure(parts.netloc, self.config)
        ):
            host = parts.netloc
            raise RegistryError(
                f"{came_from} leads from HTTPS to HTTP: {url[:200]}",
                f"to allow it, list {host} in insecure-registries of /etc/minirun/config.json",
            )

    def _send(self, request: Request) -> Response:
        if self.cancelled.is_set():
            raise CancelledError("cancelled")
        headers = {"User-Agent": f"minirun/{__version__}", "Accept-Encoding": "identity", **request.headers}
        body = request.open_body() if request.open_body else None
        if body is not None or request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(request.length)
        try:
            raw = self._manager(request.url).urlopen(
                request.method,
                request.url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=_STORE_TIMEOUT if body else _READ_TIMEOUT),
            )
        except FAILURES as error:
            if self.cancelled.is_set():
                raise CancelledError("cancelled") from None
            raise unreachable(request.method, request.url, error) from None
        finally:
            if body is not None:
                body.close()
        self._end_if_cancelled(raw)
        return Response(raw, request.url)

    def _end_if_cancelled(self, response: urllib3.BaseHTTPResponse) -> None:
        """Close a connection that `cancel`, which came just now, has not seen."""
        if self.cancelled.is_set():
            response.close()
            raise CancelledError("cancelled")

    def watch(self, response: urllib3.BaseHTTPResponse) -> None:
        """Let `cancel` end the reading of a body. RegistryError if it came before."""
        with self._lock:
            self._open.add(response)
        self._end_if_cancelled(response)

    def forget(self, response: urllib3.BaseHTTPResponse) -> None:
        """The reading of a body has ended."""
        with self._lock:
            self._open.discard(response)

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connections to a server, each with the TLS settings of that server."""
        scheme, host = urlsplit(url)[:2]
        with self._lock:
            if (scheme, host) not in self._managers:
                self._managers[scheme, host] = self._new_manager(scheme, host)
            return self._managers[scheme, host]

    def _new_manager(self, scheme: str, host: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": _CONNECTIONS}
        if scheme == "https":
            options["ssl_context"] = tls_context(host, self.config)
            if options["ssl_context"].verify_mode == ssl.CERT_NONE:  # as the administrator wants it
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        proxy = proxy_for(scheme, host)
        if not proxy:
            return urllib3.PoolManager(**options)
        parts = urlsplit(proxy)
        if parts.username:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=secret)
        return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", **options)


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port): what credentials are for."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
