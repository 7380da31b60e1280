"""Registries by the API: the credentials of a request; pull, push, search, login, distribution."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec

from minirun.api.containers import checked_filters
from minirun.api.http import ApiError, Response, answer
from minirun.api.image_streams import Messages, TransferMessages, streamed
from minirun.api.json_bodies import decode
from minirun.api.request import Request, failing_with, message_of
from minirun.cli.image.search import KEYS, find_repositories, split_term
from minirun.cli.registry import domain_of
from minirun.errors import MinirunError, NotFoundError
from minirun.image.manifests import ImageIndex, parse_manifest
from minirun.image.platforms import Platform, host_platform, parse_platform, platform_of
from minirun.image.pull import Pulled
from minirun.image.pull import pull as pull_from
from minirun.image.push import push as push_to
from minirun.image.reference import Reference, parse_reference
from minirun.image.registry.client import interruptible, open_client
from minirun.image.registry.credentials import Credentials, CredentialStore, GivenCredentials
from minirun.image.registry.errors import RegistryError
from minirun.image.registry.hosts import credential_key
from minirun.image.resolve import tags_of
from minirun.instance import Instance

_LIMIT = 25  # results of a search


class AuthConfig(msgspec.Struct, frozen=True):
    """What X-Registry-Auth has, and POST /auth."""

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    serveraddress: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None

    @property
    def credentials(self) -> Credentials:
        """As the client of registries has them."""
        user, password = self.username or "", self.password or ""
        if self.auth and not user:
            try:
                user, _, password = base64.b64decode(self.auth, validate=True).decode().partition(":")
            except ValueError:
                raise ApiError(HTTPStatus.BAD_REQUEST, "invalid X-Registry-Config: auth is not base64") from None
        return Credentials(user, password, self.identitytoken or "", self.registrytoken or "")


def decoded_header(request: Request, name: str, kind: type[Any]) -> Any:
    """A header of JSON in base64, None without it. ApiError when it is none."""
    text = request.header(name)
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return decode(raw, kind) if raw else None
    except (ValueError, RecursionError) as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid {name} header: {error}") from None


def credentials_for(request: Request, domain: str) -> CredentialStore:
    """The credentials that a request has for its registry. Those of the user that the service runs as are not used."""
    given = decoded_header(request, "X-Registry-Auth", AuthConfig)
    return GivenCredentials({credential_key(domain): given.credentials} if given else {})


def credentials_for_build(request: Request) -> CredentialStore:
    """The credentials that a build has: for each registry some."""
    given = decoded_header(request, "X-Registry-Config", dict[str, AuthConfig]) or {}
    with failing_with(HTTPStatus.BAD_REQUEST):
        return GivenCredentials({credential_key(domain_of(name)): one.credentials for name, one in given.items()})


@contextmanager
def registry_answers() -> Iterator[None]:
    """What a registry does not have, or does not let this user see, is not found."""
    try:
        yield
    except RegistryError as error:
        missing = (HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        if error.status in missing or error.message.startswith("no matching manifest"):
            raise NotFoundError(error.message, error.hint) from error
        raise


def asked_platform(request: Request) -> Platform | None:
    """The query's `platform`: linux/arm64, or as JSON {"os": "linux", "architecture": "arm64"}; None without one."""
    text = request.query.text("platform")
    if not text:
        return None
    if not text.startswith("{"):
        with failing_with(HTTPStatus.BAD_REQUEST):
            return parse_platform(text)
    try:
        found = platform_of(json.loads(text))
    except (ValueError, RecursionError):
        found = None
    if found is None:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"failed to parse platform: {text}")
    return found


def pull(request: Request) -> Response:
    """POST /images/create?fromImage=."""
    name, tag = request.query.text("fromImage"), request.query.text("tag")
    with failing_with(HTTPStatus.BAD_REQUEST):
        reference = parse_reference(name)
        if tag:
            reference = parse_reference(f"{reference.repository}{'@' if ':' in tag else ':'}{tag}")
    everything = not (reference.tag or reference.digest)
    platform = asked_platform(request) or host_platform()
    store = credentials_for(request, reference.domain)

    def work(messages: Messages) -> None:
        with registry_answers():
            for each in _all_tags(reference, store) if everything else [reference]:
                pull_one(request.instance, each, platform, store, messages)

    return streamed(request, work)


def _all_tags(reference: Reference, store: CredentialStore) -> list[Reference]:
    with open_client(store) as client:
        return client.repository(reference).all_tags()


def pull_one(
    instance: Instance, reference: Reference, platform: Platform, store: CredentialStore, messages: Messages
) -> Pulled:
    """Pull an image, and tell of it."""
    with open_client(store) as client:
        pulled = pull_from(instance, client, reference, platform, TransferMessages(messages))
    for line in pulled.lines(reference):
        messages.put(status=line)
    return pulled


def push(request: Request) -> Response:
    """POST /images/{name}/push. Without a tag all of them are pushed."""
    with failing_with(HTTPStatus.BAD_REQUEST):
        reference = parse_reference(request.parameters["name"])
        if tag := request.query.text("tag"):
            reference = parse_reference(f"{reference.familiar_repository}:{tag}")
    if reference.digest:
        raise ApiError(HTTPStatus.BAD_REQUEST, "cannot push a digest reference")
    if request.query.text("platform"):
        raise ApiError(HTTPStatus.BAD_REQUEST, "platform is not supported: an image on this host is for one platform")
    store = credentials_for(request, reference.domain)
    instance = request.instance
    wanted = [reference] if reference.tag else tags_of(instance, reference)

    def work(messages: Messages) -> None:
        messages.put(status=f"The push refers to repository [{reference.repository}]")
        if not wanted:
            name = reference.familiar_repository
            raise NotFoundError(f"An image does not exist locally with the tag: {name}")
        with open_client(store) as client:
            for each in wanted:
                pushed = push_to(instance, client, each, TransferMessages(messages))
                messages.put(status=f"{each.tag}: digest: {pushed.digest} size: {pushed.size}")
                messages.put(progressDetail={}, aux={"Tag": each.tag, "Digest": pushed.digest, "Size": pushed.size})

    return streamed(request, work)


def search(request: Request) -> Response:
    """GET /images/search."""
    term, limit = request.query.text("term"), request.query.number("limit") or _LIMIT
    if not term:
        raise ApiError(HTTPStatus.BAD_REQUEST, "no term was given")
    filters = checked_filters(request, KEYS)
    with open_client(credentials_for(request, split_term(term)[0])) as client:
        try:
            found = find_repositories(client, term, limit, filters)
        except RegistryError:
            raise
        except MinirunError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, message_of(error)) from error
    return answer(
        [
            {
                "name": one.name,
                "description": one.description,
                "is_official": one.is_official,
                "is_automated": False,
                "star_count": one.stars,
            }
            for one in found
        ]
    )


def login(request: Request) -> Response:
    """POST /auth. Nothing is kept: clients do that."""
    given = request.body.json(AuthConfig)
    with failing_with(HTTPStatus.BAD_REQUEST):
        domain = domain_of(given.serveraddress or "")
    with open_client(GivenCredentials({})) as client:
        try:
            accepted = interruptible(lambda: client.login(domain, given.credentials))
        except RegistryError as error:
            refused = error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or error.word == "UNAUTHORIZED"
            status = HTTPStatus.UNAUTHORIZED if refused else HTTPStatus.INTERNAL_SERVER_ERROR
            raise ApiError(status, message_of(error)) from error
    return answer({"Status": "Login Succeeded", "IdentityToken": accepted.identity_token})


def distribution(request: Request) -> Response:
    """GET /distribution/{name}/json: what a registry has under a name."""
    with failing_with(HTTPStatus.BAD_REQUEST):
        reference = parse_reference(request.parameters["name"])
    if not reference.digest:
        reference = reference.tagged()
    with open_client(credentials_for(request, reference.domain)) as client, registry_answers():
        repository = client.repository(reference)
        top = repository.manifest(reference.target)
        document = parse_manifest(top, reference.familiar)
        if isinstance(document, ImageIndex):
            platforms = [entry.platform for entry in document.entries]
        else:
            platforms = [platform_of(json.loads(repository.read_blob(document.config)))]
    descriptor = {"mediaType": top.media_type, "digest": top.digest, "size": len(top.raw)}
    return answer({"Descriptor": descriptor, "Platforms": [_described(one) for one in platforms if one is not None]})


def _described(platform: Platform) -> Mapping[str, str]:
    variant = {"variant": platform.variant} if platform.variant else {}
    return {"architecture": platform.architecture, "os": platform.system, **variant}
