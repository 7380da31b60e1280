"""Who we are to a registry: challenges, and the tokens that answer them.

RFC 7235 (challenges), RFC 6750 (bearer tokens); https://distribution.github.io/distribution/spec/auth/token/ and oauth/
"""

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from minirun.image.registry.credentials import Credentials
from minirun.image.registry.errors import RegistryError, refusal
from minirun.image.registry.transport import Request, Response, Transport

_CLIENT = "minirun"
_LONGEST_ANSWER = 1 << 20
_SHORTEST_LIFE, _LONGEST_LIFE = 60.0, 24 * 3600.0  # seconds; the shortest is what a token has that says nothing
_TOKEN = re.compile(r"[\x21-\x7e]+")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))\s*,?')
_SCHEME = re.compile(rf"\s*,?\s*({_WORD})(?:\s+|\Z)(?!=)")


@dataclass(frozen=True)
class Challenge:
    """How a server wants to be told who we are: scheme "bearer" or "basic", and its parameters."""

    scheme: str
    parameters: dict[str, str] = field(hash=False)


@dataclass(frozen=True)
class _Token:
    text: str
    expires: float  # time.monotonic()


_Key = tuple[str, str, tuple[str, ...]]  # realm, service, scopes


def challenges(values: Iterable[str]) -> list[Challenge]:
    """Read WWW-Authenticate headers; each may hold several challenges. What is malformed ends the reading."""
    found = []
    for value in values:
        text = value[:8192]
        while match := _SCHEME.match(text):
            text, parameters = text[match.end() :], {}
            while parameter := _PARAMETER.match(text):
                quoted, plain = parameter.group(2), parameter.group(3)
                content = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                parameters[parameter.group(1).lower()] = content
                text = text[parameter.end() :]
            found.append(Challenge(match.group(1).lower(), parameters))
    return found


class Authorizer:
    """Answers the challenges of one registry; used from several threads. There is one token for each realm, service and
    set of scopes, which is fetched again when it has expired or was refused.

    credentials: reads those of the registry, None for an anonymous caller; called once, when they are needed
    send: sends a request to a token server
    """

    def __init__(
        self, transport: Transport, credentials: Callable[[], Credentials | None], send: Callable[[Request], Response]
    ) -> None:
        self._transport = transport
        self._read_credentials = credentials
        self._send = send
        self._credentials: list[Credentials | None] = []
        self._tokens: dict[_Key, _Token] = {}
        self._keys: dict[tuple[str, ...], _Key] = {}  # by the scopes that a request asked for
        self._is_basic = False
        self._lock = threading.RLock()
        self.wants_identity_token = False
        self.identity_token = ""  # that a token server gave for the password

    def header(self, scopes: tuple[str, ...]) -> str:
        """The Authorization for a request as far as it is known already, else ""."""
        with self._lock:
            if self._is_basic:
                return self._basic()
            key = self._keys.get(scopes)
            return self._bearer(key) if key else ""

    def answer(self, found: list[Challenge], scopes: tuple[str, ...], refused: str, url: str) -> str:
        """The Authorization that answers challenges of `url`; "" if there is none that was not refused before.

        scopes: what the request needs ("repository:library/nginx:pull")
        refused: the Authorization that the challenges came for, "" if there was none
        """
        with self._lock:
            for challenge in sorted(found, key=lambda one: one.scheme != "bearer"):
                if challenge.scheme == "bearer":
                    header = self._answer_bearer(challenge, scopes, refused, url)
                elif challenge.scheme == "basic":
                    header = self._basic()
                    self._is_basic = bool(header) and header != refused
                else:
                    continue
                return "" if header == refused else header
        return ""

    def _answer_bearer(self, challenge: Challenge, scopes: tuple[str, ...], refused: str, url: str) -> str:
        if (own := self._own()) and own.registry_token:
            return f"Bearer {own.registry_token}"
        realm = challenge.parameters.get("realm", "")
        self._transport.check_url(realm, came_from=url)
        wanted = {*scopes, *challenge.parameters.get("scope", "").split(" ")} - {""}
        key = realm, challenge.parameters.get("service", ""), tuple(sorted(wanted))
        current = self._tokens.get(key)
        if current and refused == f"Bearer {current.text}":  # another thread may have fetched a new one meanwhile
            del self._tokens[key]
        self._keys[scopes] = key
        return self._bearer(key)

    def _own(self) -> Credentials | None:
        if not self._credentials:
            self._credentials.append(self._read_credentials())
        return self._credentials[0]

    def _basic(self) -> str:
        own = self._own()
        return basic(own) if own and own.username else ""

    def _bearer(self, key: _Key) -> str:
        token = self._tokens.get(key)
        if token is None or token.expires <= time.monotonic():
            token = self._tokens[key] = self._fetch(*key)
        return f"Bearer {token.text}"

    def _fetch(self, realm: str, service: str, scopes: tuple[str, ...]) -> _Token:
        own = self._own()
        asked = time.monotonic()
        if own and own.identity_token:
            response = self._send(_refresh(realm, service, scopes, own.identity_token))
        else:
            response = self._send(_login(realm, service, scopes, own, self.wants_identity_token))
        body = response.content(_LONGEST_ANSWER)
        if response.status != 200:
            raise refusal(response.status, body)
        data = _json_object(body, realm)
        text = data.get("token") or data.get("access_token")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise RegistryError(f"the token server {realm} sent no token")
        refresh = data.get("refresh_token")
        if isinstance(refresh, str) and _TOKEN.fullmatch(refresh):
            self.identity_token = refresh
        life = data.get("expires_in")
        life = float(life) if type(life) is int and life > 0 else _SHORTEST_LIFE
        # A tenth earlier, so that it does not expire on its way. The host's clock plays no part.
        return _Token(text, asked + 0.9 * min(max(life, 1.0), _LONGEST_LIFE))


def basic(credentials: Credentials) -> str:
    """The Authorization of RFC 7617."""
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()


def _login(realm: str, service: str, scopes: tuple[str, ...], own: Credentials | None, offline: bool) -> Request:
    """Ask for a token with a password, or anonymously; `offline`: and for one that stands for the password."""
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    if own is None or not own.username:
        return Request("GET", _with_query(realm, query))
    query += [("account", own.username), ("client_id", _CLIENT), *([("offline_token", "true")] if offline else [])]
    return Request("GET", _with_query(realm, query), {"Authorization": basic(own)})


def _refresh(realm: str, service: str, scopes: tuple[str, ...], identity_token: str) -> Request:
    """Ask for a token with an identity token (OAuth 2, grant type refresh_token)."""
    form = {"grant_type": "refresh_token", "refresh_token": identity_token, "service": service, "client_id": _CLIENT}
    body = urlencode({**form, "scope": " ".join(scopes)}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", realm, headers, lambda: io.BytesIO(body), len(body))


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query)))), fragment=""))


def _json_object(body: bytes, realm: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise RegistryError(f"the token server {realm} sent no JSON object")
    return data
