"""Image references, read as Docker reads them: [DOMAIN/]PATH[:TAG][@DIGEST].

https://github.com/distribution/reference/blob/main/reference.go, normalize.go and regexp.go;
https://github.com/opencontainers/go-digest/blob/master/digest.go
"""

import hashlib
import re
from dataclasses import dataclass, replace

from minirun.errors import MinirunError

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"
_LATEST = "latest"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_WHOLE_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_PATH = 255
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True)
class Reference:
    """The name of an image in a registry.

    domain: the registry as names have it, such as docker.io or localhost:5000
    path: the repository in that registry, such as library/nginx
    tag, digest: "" where the name has none
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def target(self) -> str:
        """What the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or _LATEST

    @property
    def repository(self) -> str:
        """The canonical name of the repository, without tag and digest: docker.io/library/nginx."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The name of the repository as Docker shows it: nginx, me/tool, localhost:5000/a."""
        if self.domain != DOCKER_HUB:
            return self.repository
        official = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in official else official

    @property
    def canonical(self) -> str:
        """The whole name: docker.io/library/nginx:latest@sha256:..."""
        return self.repository + self._suffix

    @property
    def familiar(self) -> str:
        """The name as Docker shows it: nginx:latest, nginx@sha256:..."""
        return self.familiar_repository + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self) -> "Reference":
        """The same with the tag "latest" where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=_LATEST)


def parse_reference(text: str) -> Reference:
    """Read a reference. MinirunError, in Docker's words, if it is invalid."""
    if _WHOLE_ID.fullmatch(text):
        raise MinirunError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split_domain(text)
    name, at, digest = rest.partition("@")
    path, colon, tag = name.partition(":")
    if path.lower() != path:
        raise MinirunError(f"invalid reference format: repository name ({path}) must be lowercase")
    if not (
        _PATH.fullmatch(path)
        and _DOMAIN.fullmatch(domain)
        and (not colon or _TAG.fullmatch(tag))
        and (not at or _DIGEST.fullmatch(digest))
    ):
        raise MinirunError("invalid reference format")
    if len(path) > _LONGEST_PATH:
        raise MinirunError(f"repository name must not be more than {_LONGEST_PATH} characters")
    return Reference(domain, path, tag, check_digest(digest) if digest else "")


def parse(text: str) -> str:
    """Return a local name as it is recorded and shown, NAME:TAG. MinirunError if it is invalid or has a digest."""
    reference = parse_reference(text)
    if reference.digest:
        raise MinirunError("invalid reference format", "a digest names an image of a registry; use NAME[:TAG]")
    return reference.tagged().familiar


def is_domain(text: str) -> bool:
    """Return whether a text can be the domain of a reference: HOST[:PORT]."""
    return _DOMAIN.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """Return a digest, ALGORITHM:HEXADECIMAL. MinirunError, in Docker's words, if it is none that is supported."""
    algorithm, colon, digits = text.partition(":")
    if not colon:
        raise MinirunError("invalid checksum digest format")
    if algorithm not in _DIGEST_LENGTHS:
        raise MinirunError("unsupported digest algorithm")
    if len(digits) != _DIGEST_LENGTHS[algorithm]:
        raise MinirunError("invalid checksum digest length")
    if not re.fullmatch("[0-9a-f]+", digits):
        raise MinirunError("invalid checksum digest format")
    return text


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def is_digest_of(digest: str, content: bytes) -> bool:
    """Return whether a text is the digest of some bytes, by any supported algorithm."""
    algorithm = digest.partition(":")[0]
    return algorithm in _DIGEST_LENGTHS and digest_of(content, algorithm) == digest


def _split_domain(text: str) -> tuple[str, str]:
    """(domain, the rest). A first part without a dot, a colon or a capital belongs to a path at Docker Hub."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DOCKER_HUB, _OFFICIAL + text
    if first == "index.docker.io":
        first = DOCKER_HUB
    elif not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        return DOCKER_HUB, text
    return first, _OFFICIAL + rest if first == DOCKER_HUB and "/" not in rest else rest
