"""The front door: a client for all registries that one command speaks to."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from minirun import config
from minirun.image.reference import Reference
from minirun.image.registry.credentials import Credentials, CredentialStore
from minirun.image.registry.errors import RegistryError
from minirun.image.registry.hosts import endpoints
from minirun.image.registry.repository import Repository, listed
from minirun.image.registry.session import Session, expect, refused
from minirun.image.registry.transport import Transport

T = TypeVar("T")
_CATALOG = ("registry:catalog:*",)


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
        session = Session(self._transport, upstream, _Fixed(credentials))
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

    def catalog(self, domain: str) -> list[str]:
        """The repositories of a registry. RegistryError if it does not tell."""
        return list(listed(self._of(domain)[-1], "/v2/_catalog", _CATALOG, "repositories"))


def _wrong_credentials(url: str, error: RegistryError) -> RegistryError:
    """In the words of Docker's login."""
    reason = error.message
    if reason == "unauthorized: authentication required":
        reason = "unauthorized: incorrect username or password"
    return RegistryError(f'Get "{url}": {reason}', "", error.status, error.word)


class _Fixed(CredentialStore):
    """Credentials that are tried before they are kept."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._tried = credentials

    def credentials(self, key: str) -> Credentials | None:
        """Those to be tried, whatever the key."""
        return self._tried


def open_client() -> Client:
    """A client with the host's configuration and the caller's credentials. MinirunError if the former is invalid."""
    return Client(config.load(), CredentialStore())


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
