"""The caller's credentials for registries, where Docker keeps them: ~/.docker/config.json and credential helpers.

https://docs.docker.com/reference/cli/docker/login/#credential-stores;
https://github.com/docker/docker-credential-helpers (the protocol of the programs)
"""

import base64
import fcntl
import json
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minirun.errors import MinirunError
from minirun.kernel.programs import program_path, program_run

_LONGEST = 4 << 20  # bytes of config.json that are read
_TIMEOUT = 60.0  # seconds that a helper has
_IDENTITY_TOKEN = "<token>"  # the user name with which a helper marks one
_NOT_FOUND = "credentials not found in native keychain"
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Credentials:
    """A user name and password; or a token that stands for both; or a bearer token that is sent as it is."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""


class CredentialStore:
    """Docker's config.json of the caller. MinirunError, from each method, if the file or a helper is unusable."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self.path = _directory(self._environment) / "config.json"

    def credentials(self, key: str) -> Credentials | None:
        """The credentials of a registry (see hosts.credential_key), None if there are none."""
        data = self._load()
        helper = self._helper(data, key)
        if helper:
            return self._from_helper(helper, key)
        entries = _section(data, "auths", self.path)
        entry = entries.get(key)
        if entry is None:  # older Docker wrote URLs
            entry = next((value for name, value in entries.items() if hostname(name) == hostname(key)), None)
        return self._from_entry(entry, key) if entry else None

    def is_plain(self, key: str) -> bool:
        """Whether a registry's credentials are kept in the file itself, and not by a helper."""
        return not self._helper(self._load(), key)

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep the credentials of a registry."""
        with self._change() as data:
            helper = self._helper(data, key)
            entry: dict[str, str] = {}
            if helper:
                user, secret = credentials.username, credentials.password
                if credentials.identity_token:
                    user, secret = _IDENTITY_TOKEN, credentials.identity_token
                self._run(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
            else:
                # With an identity token the password is not kept.
                pair = f"{credentials.username}:{'' if credentials.identity_token else credentials.password}"
                entry = {"auth": base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()}
                if credentials.identity_token:
                    entry["identitytoken"] = credentials.identity_token
            data["auths"] = {**_section(data, "auths", self.path), key: entry}

    def erase(self, key: str) -> None:
        """Forget the credentials of a registry, also those that older Docker kept under its URL."""
        if not self.path.exists():
            return
        with self._change() as data:
            helper = self._helper(data, key)
            if helper:
                self._run(helper, "erase", key, absent=_NOT_FOUND)
            entries = _section(data, "auths", self.path)
            names = {key, *(f"{scheme}://{key}" for scheme in ("http", "https"))}
            if "auths" in data:
                data["auths"] = {name: entry for name, entry in entries.items() if name not in names}

    def _load(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                text = file.read(_LONGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise MinirunError(f"cannot read {self.path}: {error.strerror}") from None
        try:
            data = json.loads(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise self._invalid(f"it is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise self._invalid("it is not a JSON object")
        return data

    def _invalid(self, reason: str) -> MinirunError:
        return MinirunError(f"invalid {self.path}: {reason}", "correct the file or remove it")

    def _helper(self, data: dict[str, Any], key: str) -> str:
        """The helper that a registry's credentials are kept by, "" for the file itself."""
        helpers = _section(data, "credHelpers", self.path)
        name = helpers.get(key, data.get("credsStore", ""))
        if not isinstance(name, str) or (name and not _HELPER.fullmatch(name)):
            raise self._invalid(f"{name!r} is no name of a credential helper")
        return name

    def _from_entry(self, entry: Any, key: str) -> Credentials | None:
        names = ("username", "password", "auth", "identitytoken", "registrytoken")
        values: list[Any] = [entry.get(name) or "" for name in names] if isinstance(entry, dict) else [None]
        if not all(isinstance(value, str) for value in values):
            raise self._invalid(f"auths: the entry of {key} is not an object of strings")
        user, password, auth, identity_token, registry_token = values
        if auth:
            try:
                pair = base64.b64decode(auth, validate=True).decode("utf-8", "surrogateescape")
            except ValueError:
                raise self._invalid(f"auths: the auth of {key} is not base64") from None
            user, colon, password = pair.partition(":")
            if not colon:
                raise self._invalid(f"auths: the auth of {key} has no colon")
            password = password.strip("\0")
        found = Credentials(user, password, identity_token, registry_token)
        return found if found != Credentials() else None

    def _from_helper(self, helper: str, key: str) -> Credentials | None:
        answer = self._run(helper, "get", key, absent=_NOT_FOUND)
        if answer is None:
            return None
        try:
            data = json.loads(answer)
        except (ValueError, RecursionError):
            data = None
        user, secret = (data.get("Username"), data.get("Secret")) if isinstance(data, dict) else (None, None)
        if not isinstance(user, str) or not isinstance(secret, str):
            raise MinirunError(f"error getting credentials: docker-credential-{helper} printed no credentials")
        return Credentials(identity_token=secret) if user == _IDENTITY_TOKEN else Credentials(user, secret)

    def _run(self, helper: str, verb: str, text: str, absent: str = "") -> str | None:
        """Run a helper. Returns what it prints; None if it fails and prints `absent`."""
        name = f"docker-credential-{helper}"
        path = program_path(name, tuple(filter(None, self._environment.get("PATH", os.defpath).split(":"))))
        asks = f"{self.path} asks for it, in credsStore or credHelpers"
        if path is None:
            raise MinirunError(f"credential helper {name}: executable file not found in $PATH", asks)
        try:
            done = program_run(path, [verb], text.encode(), self._environment, _TIMEOUT)
        except OSError as error:
            raise MinirunError(f"credential helper {path} cannot be started: {error.strerror}", asks) from None
        if done.code == 0:
            return done.out
        if absent and absent in done.out:
            return None
        said = " ".join((done.out or done.err).split())[:500]
        why = f"no answer after {_TIMEOUT:.0f} seconds" if done.code is None else said or f"exit code {done.code}"
        raise MinirunError(f"credential helper {name} {verb}: {why}", asks)

    @contextmanager
    def _change(self) -> Iterator[dict[str, Any]]:
        """Read the file, and write it whole when the block ends. Another login waits meanwhile."""
        path = Path(os.path.realpath(self.path))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                data = self._load()
                yield data
                _write(path, json.dumps(data, indent="\t", ensure_ascii=False))
            finally:
                os.close(lock)
        except OSError as error:
            raise MinirunError(f"cannot write {self.path}: {error.strerror}") from None


class GivenCredentials(CredentialStore):
    """Credentials that were given for one call, by their keys; nothing is read."""

    def __init__(self, given: Mapping[str, Credentials]) -> None:
        super().__init__()
        self._given = given

    def credentials(self, key: str) -> Credentials | None:
        """Those that were given for a registry."""
        return self._given.get(key)


def hostname(name: str) -> str:
    """HOST[:PORT] of what may be a URL: https://localhost:5000/v2/ is localhost:5000."""
    return re.sub(r"^https?://", "", name).partition("/")[0]


def _directory(environment: Mapping[str, str]) -> Path:
    if environment.get("DOCKER_CONFIG"):
        return Path(environment["DOCKER_CONFIG"])
    home = environment.get("HOME")
    try:
        return Path(home or pwd.getpwuid(os.getuid()).pw_dir) / ".docker"
    except KeyError:
        return Path("/.docker")


def _section(data: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    section = data.get(key)
    if section is not None and not isinstance(section, dict):
        raise MinirunError(f"invalid {path}: {key} is not an object", "correct the file or remove it")
    return section or {}


def _write(path: Path, text: str) -> None:
    """Write a secret file whole or not at all, for its owner alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            if path.exists():  # with sudo it may belong to somebody else
                owner = path.stat()
                os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
