"""Image references: [docker.io/library/]NAME[:TAG].

https://github.com/distribution/reference/blob/main/regexp.go
"""

import re

from minirun.errors import MinirunError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_HOST})(?:\.{_HOST})*(?::[0-9]+)?\Z")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}\Z")
_WHOLE_ID = re.compile(r"[0-9a-f]{64}\Z")
_LONGEST = 255
_OWN_DOMAINS = ("docker.io", "index.docker.io")


def parse(text: str) -> str:
    """Return a reference as it is recorded and shown, NAME:TAG. MinirunError, in Docker's words, if it is invalid."""
    if "@" in text:
        raise _invalid("digests are not supported: minirun has no registry")
    if _WHOLE_ID.match(text):
        raise MinirunError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    name, tag = split(text)
    domain, path = _domain(name)
    if path.lower() != path:
        raise MinirunError(f"invalid reference format: repository name ({_shown(domain, path)}) must be lowercase")
    if not _PATH.match(path) or not _TAG.match(tag) or (domain and not _DOMAIN.match(domain)):
        raise _invalid()
    if len(_shown(domain, path)) > _LONGEST:
        raise MinirunError(f"repository name must not be more than {_LONGEST} characters")
    return f"{domain}/{path}:{tag}" if domain else f"{path}:{tag}"


def split(text: str) -> tuple[str, str]:
    """Split into name and tag ("latest" by default). A colon before a slash belongs to the registry's port."""
    start, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return start + slash + name, tag if colon else "latest"


def _domain(name: str) -> tuple[str, str]:
    """Split a name into domain and path. The domain of Docker's own registry is left out: ("", path)."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        rest = name
    elif first not in _OWN_DOMAINS:
        return first, rest
    own = rest.removeprefix("library/")
    return "", rest if "/" in own else own


def _shown(domain: str, path: str) -> str:
    if domain:
        return f"{domain}/{path}"
    return path if "/" in path else f"library/{path}"


def _invalid(hint: str = "") -> MinirunError:
    return MinirunError("invalid reference format", hint)
