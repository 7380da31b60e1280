"""minirun login, logout."""

import getpass
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

from typer import Argument, Option

from minirun.cli.session import commands, warn
from minirun.errors import MinirunError
from minirun.image.reference import DOCKER_HUB, is_domain

if TYPE_CHECKING:
    from minirun.image.registry.client import Client

T = TypeVar("T")
_HUB_NAMES = ("", DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_HUB_HELP = (
    "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker"
    " ID, head over to https://hub.docker.com/ to create one."
)
_PLAIN = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""
Server = Annotated[str, Argument(metavar="[SERVER]", show_default=False)]
app = commands()


@app.command("login")
def login(
    server: Server = "",
    username: Annotated[str | None, Option("--username", "-u", help="Username")] = None,
    password: Annotated[
        str | None, Option("--password", "-p", help="Password or Personal Access Token (PAT)", metavar="string")
    ] = None,
    password_stdin: Annotated[
        bool, Option("--password-stdin", help="Take the Password or Personal Access Token (PAT) from stdin")
    ] = False,
) -> None:
    """Authenticate to a registry (Docker Hub if no server is specified)."""
    from minirun.image.registry.client import open_client

    password = _given_password(username, password, password_stdin)
    domain = domain_of(server)
    with open_client() as client:
        if username is None and password is None and _stored_still_work(client, domain):
            return
        _log_in(client, domain, *_ask(domain, username, password, client))


@app.command("logout")
def logout(server: Server = "") -> None:
    """Log out from a registry (Docker Hub if no server is specified)."""
    from minirun.image.registry.credentials import CredentialStore
    from minirun.image.registry.hosts import credential_key

    key = credential_key(domain_of(server))
    print(f"Removing login credentials for {key}", flush=True)
    CredentialStore().erase(key)


def _given_password(username: str | None, password: str | None, from_stdin: bool) -> str | None:
    """The password of the command line or of standard input, None without one. MinirunError for what cannot be."""
    if username == "":
        raise MinirunError("username is empty")
    if password is not None and from_stdin:
        raise MinirunError("conflicting options: cannot specify both --password and --password-stdin")
    if from_stdin:
        if username is None:
            raise MinirunError("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password is not None:
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if password == "":
        raise MinirunError("password is empty")
    return password


def domain_of(server: str) -> str:
    """The registry that a person names; also https://HOST/..., as it may be in Docker's config.json."""
    from minirun.image.registry.credentials import hostname

    domain = hostname(server)
    if domain in _HUB_NAMES:
        return DOCKER_HUB
    if not is_domain(domain):
        raise MinirunError(f"invalid registry {server!r}", "such as registry.example or localhost:5000")
    return domain


def _stored_still_work(client: "Client", domain: str) -> bool:
    """Try the credentials that are kept. Returns whether they are accepted, after saying so."""
    from minirun.image.registry.errors import RegistryError
    from minirun.image.registry.hosts import credential_key

    stored = client.store.credentials(credential_key(domain))
    if stored is None or not (stored.username or stored.identity_token):
        return False
    warn(f"Authenticating with existing credentials... [Username: {stored.username}]")
    try:
        _interruptible(lambda: client.login(domain, stored))
    except RegistryError as error:
        warn(f"Login did not succeed, error: {error.message}")
        return False
    print("Login Succeeded")
    return True


def _ask(domain: str, username: str | None, password: str | None, client: "Client") -> tuple[str, str]:
    """Ask for what the command line lacks. Returns (user name, password)."""
    from minirun.image.registry.hosts import credential_key

    if username is not None and password is not None:
        return username, password
    if not os.isatty(0):
        raise MinirunError(
            "Cannot perform an interactive login from a non TTY device", "use --username with --password-stdin"
        )
    if username is None:
        if domain == DOCKER_HUB:
            print(_HUB_HELP)
        stored = client.store.credentials(credential_key(domain))
        default = stored.username if stored else ""
        print(f"Username{f' ({default})' if default else ''}: ", end="", flush=True)
        username = sys.stdin.readline().strip() or default
        if not username:
            raise MinirunError("username is empty")
    if password is None:
        password = getpass.getpass("Password: ")
    if not password:
        raise MinirunError("password is empty")
    return username, password


def _log_in(client: "Client", domain: str, username: str, password: str) -> None:
    from minirun.image.registry.credentials import Credentials
    from minirun.image.registry.hosts import credential_key

    accepted = _interruptible(lambda: client.login(domain, Credentials(username, password)))
    key = credential_key(domain)
    client.store.put(key, accepted)
    if client.store.is_plain(key):
        warn(_PLAIN.format(path=client.store.path))
    print("Login Succeeded")


def _interruptible(call: Callable[[], T]) -> T:
    from minirun.image.registry.client import interruptible

    return interruptible(call)
