"""What registries and the network answer instead of what was asked for, in Docker's words.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

import errno
import json
import socket
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus

import urllib3.exceptions as http

from minirun.errors import MinirunError
from minirun.lab import facts

_CONFIG = "/etc/minirun/config.json"


class RegistryError(MinirunError):
    """A registry refuses, or answers what cannot be used.

    status: the HTTP status, 0 if there was no answer
    word: the registry's own code, such as MANIFEST_UNKNOWN
    """

    def __init__(self, message: str, hint: str = "", status: int = 0, word: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.word = word


class UnreachableError(RegistryError):
    """No registry answered. `transient`: another try may succeed."""

    def __init__(self, message: str, hint: str = "", transient: bool = False) -> None:
        super().__init__(message, hint)
        self.transient = transient


class CancelledError(RegistryError):
    """The client was closed while it worked."""


def refusal(status: int, body: bytes, oauth_error: str = "") -> RegistryError:
    """Describe an answer that is an error: "denied: requested access to the resource is denied".

    oauth_error: what a WWW-Authenticate header says (RFC 6750, section 3.1)
    """
    word, message = _reason(body)
    if oauth_error == "insufficient_scope":
        word, message = "DENIED", "requested access to the resource is denied"
    elif oauth_error == "invalid_token" or (status == HTTPStatus.UNAUTHORIZED and not word):
        word, message = "UNAUTHORIZED", message or "authentication required"
    if not word:
        word = "TOOMANYREQUESTS" if status == HTTPStatus.TOO_MANY_REQUESTS else ""
    if word:
        label = word.lower().replace("_", " ")
        return RegistryError(f"{label}: {message or label}", status=status, word=word)
    return RegistryError(
        f"received unexpected HTTP status: {_status_line(status)}{message and ': ' + message}", "", status
    )


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _reason(body: bytes) -> tuple[str, str]:
    """(code, message) of an error body, each "" where it has none. Token servers have forms of their own."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(data, dict):
        return "", ""
    errors = data.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    code = first.get("code") if isinstance(first, dict) else None
    message = first.get("message") if isinstance(first, dict) else None
    other = next(
        (data[key] for key in ("details", "error_description", "message") if isinstance(data.get(key), str)), ""
    )
    return _short(code), _short(message) or _short(other)


def _short(text: object) -> str:
    return " ".join(text.split())[:500] if isinstance(text, str) else ""


def unreachable(method: str, url: str, error: Exception) -> UnreachableError:
    """Describe why a request got no answer, in the words of Go's net/http, which people search for."""
    reason, hint, transient = _network_reason(url, error)
    return UnreachableError(f'{method.title()} "{url}": {reason}', hint, transient)


def _network_reason(url: str, error: Exception) -> tuple[str, str, bool]:
    """(reason, hint, whether another try may succeed)."""
    causes = list(_causes(error))
    host = url.split("/")[2]
    if isinstance(error, http.ProxyError):
        return f"proxyconnect tcp: {_short(str(causes[-1]))}", "the proxy is that of HTTP_PROXY or HTTPS_PROXY", False
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return *_certificate_reason(host, cause), False
        if isinstance(cause, ssl.SSLEOFError):
            return "EOF", "the server closed the connection in the midst of the TLS handshake", True
        if isinstance(cause, ssl.SSLError):
            return *_tls_reason(host, cause), False
        if isinstance(cause, socket.gaierror):
            again = cause.errno == socket.EAI_AGAIN
            reason = "no such host" if not again else "temporary failure in name resolution"
            hint = facts.closed() or "check the name, or this host's DNS servers in /etc/resolv.conf"
            return f"dial tcp: lookup {host.rpartition(':')[0] or host}: {reason}", hint, False
    if isinstance(error, http.ConnectTimeoutError) and not isinstance(error, http.NewConnectionError):
        return f"dial tcp {host}: i/o timeout", "", True
    if isinstance(error, http.ReadTimeoutError | TimeoutError):
        return "net/http: timeout awaiting response headers", "", True
    return _socket_reason(host, error, causes)


def _socket_reason(host: str, error: Exception, causes: list[BaseException]) -> tuple[str, str, bool]:
    number = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), 0)
    if isinstance(error, http.NewConnectionError):
        what = {
            errno.ECONNREFUSED: "connection refused",
            errno.ENETUNREACH: "network is unreachable",
            errno.EHOSTUNREACH: "no route to host",
        }.get(number, _short(str(causes[-1])))
        return f"dial tcp {host}: connect: {what}", "", False
    if number == errno.ECONNRESET:
        return "read: connection reset by peer", "", True
    if isinstance(error, http.ProtocolError):
        text = _short(str(causes[-1]))
        return "EOF" if "without response" in text else text, "", True
    return _short(str(causes[-1])) or type(error).__name__, "", False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it holds and what it came from."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        held = next((one for one in current.args if isinstance(one, BaseException)), None)
        current = held or current.__cause__ or current.__context__
    return iter(seen)


_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_*, openssl/x509_vfy.h
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
_OTHER_NAME = (62, 64)


def _certificate_reason(host: str, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    begin = "tls: failed to verify certificate: x509: "
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        side = "before it is valid" if error.verify_code == _NOT_YET_VALID else "after its end"
        reason = f"certificate has expired or is not yet valid: current time {now} is {side}"
        return (
            begin + reason,
            "if that is not the time, set this host's clock; else the registry needs a new certificate",
        )
    if error.verify_code in _UNKNOWN_ISSUER:
        where = f"put its CA certificate into /etc/docker/certs.d/{host}/ca.crt"
        return (
            f"{begin}certificate signed by unknown authority",
            f"{where}, or list {host} in insecure-registries of {_CONFIG}",
        )
    if error.verify_code in _OTHER_NAME:
        return (
            f"{begin}certificate is not valid for {host}",
            "the registry needs a certificate with this name among its SANs",
        )
    return begin + error.verify_message, ""


def _tls_reason(host: str, error: ssl.SSLError) -> tuple[str, str]:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return (
            "http: server gave HTTP response to HTTPS client",
            f"to use HTTP, list {host} in insecure-registries of {_CONFIG}",
        )
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "BAD_CERTIFICATE" in reason:
        hint = f"a client certificate belongs into /etc/docker/certs.d/{host}/, as client.cert and client.key"
        return f"remote error: tls: {reason.lower().replace('_', ' ')}", hint
    return f"tls: {reason.lower().replace('_', ' ') or _short(str(error))}", ""
