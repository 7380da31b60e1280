"""Requests to one registry server: with its authorization, and tried again where that can help."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import urljoin

from minirun.image.registry.credentials import CredentialStore
from minirun.image.registry.errors import CancelledError, RegistryError, UnreachableError, refusal
from minirun.image.registry.hosts import Endpoint
from minirun.image.registry.tokens import Authorizer, challenges
from minirun.image.registry.transport import Request, Response, Transport, origin

TRIES = 5
_RETRIED = (408, 429, 500, 502, 503, 504)
_FIRST_DELAY = 0.5  # seconds, and twice as long each time
LONGEST_DELAY = 60.0  # a registry that wants us to wait longer is not waited for
_LONGEST_ERROR = 64 << 10


class Session:
    """One server, from any thread."""

    def __init__(self, transport: Transport, endpoint: Endpoint, store: CredentialStore) -> None:
        self.transport = transport
        self.endpoint = endpoint
        self.failure: RegistryError | None = None  # why it could not be reached
        self.authorizer = Authorizer(
            transport,
            lambda: store.credentials(endpoint.credential_key),
            lambda request: self._retried(request, transport.follow, TRIES),
        )
        self._urls = list(endpoint.urls)
        self._is_confirmed = False

    def send(
        self,
        method: str,
        path: str,
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        open_body: Callable[[], IO[bytes]] | None = None,
        length: int = 0,
        tries: int = TRIES,
    ) -> Response:
        """Send a request; `path` begins at the server's root, or is a URL that it gave.

        Returns the answer, also when it is an error that another try does not help against. UnreachableError if there
        is none. An insecure registry that does not speak TLS is spoken to by HTTP.
        """
        while True:
            url, is_last = self._urls[0], self._is_confirmed or len(self._urls) == 1
            request = Request(method, urljoin(url, path), headers or {}, open_body, length)
            try:
                response = self._retried(request, lambda one: self._authorized(one, scopes), tries if is_last else 1)
            except UnreachableError:
                if is_last:
                    raise
                self._urls = [other for other in self._urls if other != url] or self._urls
            else:
                self._is_confirmed = True
                return response

    def _authorized(self, request: Request, scopes: tuple[str, ...]) -> Response:
        """With the authorization that is known; a challenge is answered once. An expired token is fetched again so."""
        header = self.authorizer.header(scopes)
        response = self.transport.follow(_with_authorization(request, header))
        if response.status != 401 or origin(response.url) != origin(request.url):
            return response
        found = challenges(response.raw.headers.getlist("WWW-Authenticate"))
        try:
            header = self.authorizer.answer(found, scopes, header, request.url)
        except BaseException:
            response.raw.close()
            raise
        if not header:
            return response
        response.discard()
        return self.transport.follow(_with_authorization(request, header))

    def _retried(self, request: Request, send: Callable[[Request], Response], tries: int) -> Response:
        for attempt in range(tries):
            is_last = attempt == tries - 1
            try:
                response = send(request)
            except UnreachableError as error:
                if is_last or not error.transient:
                    raise
                delay = backoff(attempt)
            else:
                delay = retry_delay(response, attempt)
                if response.status not in _RETRIED or is_last or delay > LONGEST_DELAY:
                    return response
                response.discard()
            pause(self.transport.cancelled, delay)
        raise AssertionError("the last try returns or raises")

    def absolute(self, location: str, request_path: str) -> str:
        """A URL that this server gave for what comes next, checked. HTTP for the server itself is taken for HTTPS."""
        base = urljoin(self._urls[0], request_path)
        url = urljoin(base, location)
        if url.startswith("http://") and origin(url)[1] == origin(base)[1] and base.startswith("https://"):
            url = "https://" + url.removeprefix("http://")  # a proxy before it ends TLS, and it does not know
        self.transport.check_url(url, came_from=base)
        return url


def expect(response: Response, statuses: Iterable[int]) -> Response:
    """Return the answer if it has one of these statuses. RegistryError, with what the registry says, if not."""
    if response.status in statuses:
        return response
    raise refused(response)


def refused(response: Response) -> RegistryError:
    """Read an answer that is an error."""
    try:
        body = response.content(_LONGEST_ERROR)
    except RegistryError:
        body = b""
    found = challenges(response.raw.headers.getlist("WWW-Authenticate")) if response.status in (401, 403) else []
    errors = [one.parameters.get("error", "") for one in found if one.scheme == "bearer"]
    error = refusal(response.status, body, next(filter(None, errors), ""))
    wait = _retry_after(response)
    if response.status in (429, 503) and wait:
        error.hint = f"the registry asks to try again in {wait:.0f} seconds"
    return error


def pause(cancelled: threading.Event, seconds: float) -> None:
    """Wait before the next try. CancelledError if the client is closed meanwhile."""
    if cancelled.wait(seconds):
        raise CancelledError("cancelled")


def retry_delay(response: Response, attempt: int) -> float:
    """Seconds to wait before the next try: what the registry says, or longer each time."""
    wait = _retry_after(response)
    return backoff(attempt) if wait is None else wait


def backoff(attempt: int) -> float:
    """Return the seconds to wait after a failure; the first is attempt 0."""
    return _FIRST_DELAY * float(2**attempt) * random.uniform(0.75, 1.25)


def _retry_after(response: Response) -> float | None:
    """Retry-After, in seconds or as a date (RFC 9110, section 10.2.3); None if there is none."""
    text = response.header("Retry-After").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = float(parsedate_to_datetime(text).timestamp()) if text else 0.0
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time()) if text else None


def _with_authorization(request: Request, header: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": header}) if header else request
