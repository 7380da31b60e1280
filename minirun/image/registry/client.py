"""The front door: a client for all registries that one command speaks to."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlencode

from minirun import config
from minirun.image.reference import DOCKER_HUB, Reference
from minirun.image.registry.credentials import Credentials, CredentialStore, GivenCredentials
from minirun.image.registry.errors import RegistryError
from minirun.image.registry.hosts import Endpoint, endpoints
from minirun.image.registry.repository import Repository, listed
from minirun.image.registry.session import Session, expect, refused
from minirun.image.registry.transport import Response, Transport

T = TypeVar("T")
_HUB_SEARCH = "https://index.docker.io"
_LONGEST_RESULT = 4 << 20
_CATALOG = ("registry:catalog:*",)


@dataclass(frozen=True)
class SearchResult:
    """A repository that a search found."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False


class Client:
    """`with open_client() as client: client.repository(reference).find(reference.target, platform)`.

    Its repositories may be used from several threads. Leaving the block, also by Ctrl-C, ends what they are at.
    """

    def __init__(self, configuration: config.Config, store: CredentialStore) -> None:
        self.store = store
        self._config = configuration
        self._transport = Transport(configuration)
        self._sessions: dict[str, list[Session]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all requests and downloads; each raises CancelledError."""
        self._transport.cancel()

    def repository(self, reference: Reference) -> Repository:
        """The repository of a reference; nothing is sent yet."""
        return Repository(reference, self._of(reference.domain))

    def _of(self, domain: str) -> list[Session]:
        with self._lock:
            if domain not in self._sessions:
                found = endpoints(domain, self._config)
                self._sessions[domain] = [Session(self._transport, endpoint, self.store) for endpoint in found]
            return self._sessions[domain]

    def login(self, domain: str, credentials: Credentials) -> Credentials:
        """Try credentials. RegistryError if the registry refuses them.

        Returns those to keep: an identity token, if the registry gives one, takes the place of the password.
        """
        upstream = endpoints(domain, self._config)[-1]
        session = Session(self._transport, upstream, GivenCredentials({upstream.credential_key: credentials}))
        session.authorizer.wants_identity_token = True
        try:
            response = session.send("GET", "/v2/")
        except RegistryError as error:
            raise (
                _wrong_credentials(f"https://{domain}/v2/", error) if error.word == "UNAUTHORIZED" else error
            ) from None
        if response.status == HTTPStatus.UNAUTHORIZED:
            raise _wrong_credentials(response.url, refused(response))
        expect(response, (200,)).discard()
        token = session.authorizer.identity_token
        return Credentials(credentials.username, "", token) if token else credentials

    def search(self, domain: str, term: str, limit: int = 25) -> list[SearchResult]:
        """Search a registry for repositories. RegistryError if it has no search and does not tell what it has.

        Docker Hub and few others have a search (API v1); others are asked for the names of all repositories.
        """
        session = self._of(domain)[-1]
        if domain == DOCKER_HUB:
            session = Session(self._transport, Endpoint((_HUB_SEARCH,), session.endpoint.credential_key), self.store)
        response = session.send("GET", f"/v1/search?{urlencode({'q': term, 'n': limit})}")
        if response.status == HTTPStatus.OK:
            return _search_results(response)[:limit]
        if response.status != HTTPStatus.NOT_FOUND:
            raise refused(response)
        response.discard()
        try:
            names = self.catalog(domain)
        except RegistryError as error:
            raise RegistryError(f"{domain} has no search: {error.message}", error.hint, error.status) from None
        return [SearchResult(name) for name in names if term in name][:limit]

    def catalog(self, domain: str) -> list[str]:
        """The repositories of a registry. RegistryError if it does not tell."""
        return list(listed(self._of(domain)[-1], "/v2/_catalog", _CATALOG, "repositories"))


def _search_results(response: Response) -> list[SearchResult]:
    try:
        data = json.loads(response.content(_LONGEST_RESULT))
        return [
            SearchResult(
                str(entry["name"]),
                " ".join(str(entry.get("description") or "").split()),
                int(entry.get("star_count") or 0),
                entry.get("is_official") is True,
            )
            for entry in data["results"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RegistryError(f"{response.url}: the answer is not a list of search results") from None


def _wrong_credentials(url: str, error: RegistryError) -> RegistryError:
    """In the words of Docker's login."""
    reason = error.message
    if reason == "unauthorized: authentication required":
        reason = "unauthorized: incorrect username or password"
    return RegistryError(f'Get "{url}": {reason}', "", error.status, error.word)


def open_client(store: CredentialStore | None = None) -> Client:
    """A client with the host's configuration and credentials, the caller's by default.

    MinirunError if the configuration is invalid.
    """
    return Client(config.load(), CredentialStore() if store is None else store)


def interruptible(call: Callable[[], T]) -> T:
    """Call in a thread, so that Ctrl-C ends the wait at once: the main thread would finish looking up a name first."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
