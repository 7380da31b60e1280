"""What the registry client reads besides manifests: challenges, credentials, hosts, proxies, errors."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.config import Config, parse
from minirun.errors import MinirunError
from minirun.image.registry.credentials import Credentials, CredentialStore
from minirun.image.registry.errors import refusal
from minirun.image.registry.hosts import credential_key, endpoints, is_insecure, proxy_for
from minirun.image.registry.tokens import challenges
from tests.unit.image.refusals import answer


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Basic realm="a b"'], [("basic", {"realm": "a b"})]),
        (
            ['Bearer realm="https://h/t",service="s",scope="repository:a:pull,push"'],
            [("bearer", {"realm": "https://h/t", "service": "s", "scope": "repository:a:pull,push"})],
        ),
        (
            ['Basic realm="a", Bearer realm=b , x="q\\"q"'],
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "x": 'q"q'})],
        ),
        (["Negotiate", "Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ['Bearer error="insufficient_scope" , realm="r"'],
            [("bearer", {"error": "insufficient_scope", "realm": "r"})],
        ),
        (["", ",,,", "=", 'Bearer realm="no end'], [("bearer", {"realm": ""})]),
    ],
)
def test_challenges(headers: list[str], found: list[tuple[str, dict[str, str]]]) -> None:
    read = [(challenge.scheme, challenge.parameters) for challenge in challenges(headers)]
    assert read == found


@given(st.text(max_size=100) | st.text('Bearer =",\\ax', max_size=100))
def test_any_challenge_is_read(text: str) -> None:
    challenges([text])


def store(tmp_path: Path, data: Any) -> CredentialStore:
    (tmp_path / "config.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return CredentialStore({"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("data", "key", "found"),
    [
        ("", "r", None),
        ({"auths": {"r": {}}}, "r", None),
        ({"auths": {"r": {"auth": "bWU6YTpi"}}}, "r", Credentials("me", "a:b")),
        ({"auths": {"https://r/v1/": {"auth": "bWU6YTpi"}}}, "r", Credentials("me", "a:b")),
        ({"auths": {"r": {"username": "me", "password": "x"}}}, "r", Credentials("me", "x")),
        ({"auths": {"r": {"auth": "bWU6", "identitytoken": "t"}}}, "r", Credentials("me", "", "t")),
        ({"auths": {"r": {"registrytoken": "t"}}}, "r", Credentials(registry_token="t")),
        (
            {"auths": {"https://index.docker.io/v1/": {"auth": "bWU6YTpi"}}},
            credential_key("docker.io"),
            Credentials("me", "a:b"),
        ),
        ({"auths": {"r:5000": {"auth": "bWU6YTpi"}}}, "r", None),
        ("{", "r", "it is not JSON"),
        ("[]", "r", "it is not a JSON object"),
        ({"auths": []}, "r", "auths is not an object"),
        ({"auths": {"r": []}}, "s", None),
        ({"auths": {"r": [1]}}, "r", "the entry of r is not an object of strings"),
        ({"auths": {"r": {"auth": 1}}}, "r", "the entry of r is not an object of strings"),
        ({"auths": {"r": {"auth": "?"}}}, "r", "the auth of r is not base64"),
        ({"auths": {"r": {"auth": "bWU="}}}, "r", "the auth of r has no colon"),
        ({"credsStore": "../x"}, "r", "'../x' is no name of a credential helper"),
        ({"credHelpers": {"r": "lost"}}, "r", "docker-credential-lost: executable file not found in $PATH"),
        ({"credHelpers": {"r": "lost"}}, "s", None),
    ],
)
def test_the_credentials_of_the_configuration_of_docker(tmp_path: Path, data: Any, key: str, found: Any) -> None:
    read = answer(lambda: store(tmp_path, data).credentials(key))
    assert found in read if isinstance(found, str) else read == found


def test_credentials_are_written_beside_what_is_there(tmp_path: Path) -> None:
    own = store(tmp_path, {"auths": {"other": {"auth": "eDp5"}, "https://r": {}}, "detachKeys": "ctrl-x"})
    (tmp_path / "config.json").chmod(0o644)
    own.put("r", Credentials("me", "pässword"))
    own.put("s", Credentials("me", "", "token"))
    assert (own.path.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o600, [own.path])
    assert (own.credentials("r"), own.credentials("s")) == (
        Credentials("me", "pässword"),
        Credentials("me", "", "token"),
    )
    own.erase("r")
    own.erase("s")
    assert json.loads(own.path.read_text()) == {"auths": {"other": {"auth": "eDp5"}}, "detachKeys": "ctrl-x"}


def test_a_linked_file_stays_a_link_and_a_directory_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real.json")
    (tmp_path / "config.json").symlink_to("link")
    CredentialStore({"DOCKER_CONFIG": str(tmp_path)}).put("r", Credentials("me", "x"))
    assert json.loads((tmp_path / "deep" / "real.json").read_text())["auths"] == {"r": {"auth": "bWU6eA=="}}
    assert (tmp_path / "config.json").is_symlink()
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700


_CONFIG = parse(
    b'{"insecure-registries": ["Plain.example", "port.example:5000", "10.0.0.0/8"],'
    b' "registry-mirrors": ["http://mirror:5000/"]}',
    Path("x"),
)


@pytest.mark.parametrize(
    ("name", "insecure"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("127.9.9.9:1", True),
        ("[::1]:5000", True),
        ("plain.example:80", True),
        ("port.example:5000", True),
        ("port.example", False),
        ("10.1.2.3", True),
        ("11.1.2.3:5000", False),
        ("registry.invalid", False),
        ("localhost.evil.invalid", False),
    ],
)
def test_which_registries_may_be_without_tls(name: str, insecure: bool) -> None:
    assert is_insecure(name, _CONFIG) == insecure


def test_the_servers_of_a_registry() -> None:
    mirror, hub = endpoints("docker.io", _CONFIG)
    assert (mirror.urls, mirror.credential_key) == (("http://mirror:5000",), "mirror:5000")
    assert (hub.urls, hub.credential_key) == (("https://registry-1.docker.io",), "https://index.docker.io/v1/")
    assert endpoints("r.invalid", Config())[0].urls == ("https://r.invalid",)
    assert endpoints("localhost:5000", Config())[0].urls == ("https://localhost:5000", "http://localhost:5000")


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://r", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "https://r", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://r:5000", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://r", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost:5000", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.1:5000", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, example"}, "https://r.example", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.1.1", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.1.1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://r", ""),
        (
            {"HTTPS_PROXY": "socks5://p:1"},
            "https://r",
            "refused: invalid HTTPS_PROXY: it must be a URL of an HTTP proxy",
        ),
    ],
)
def test_proxies(variables: dict[str, str], url: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert answer(lambda: proxy_for(*url.split("://"))) == proxy


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}', "name unknown: not here"),
        (403, b'{"errors":[{"code":"DENIED"}]}', "denied: denied"),
        (401, b'{"details":"incorrect username or password"}', "unauthorized: incorrect username or password"),
        (401, b"<html>", "unauthorized: authentication required"),
        (429, b"", "toomanyrequests: toomanyrequests"),
        (500, b"<html>", "received unexpected HTTP status: 500 Internal Server Error"),
        (599, b'{"errors":{}}', "received unexpected HTTP status: 599"),
        (400, b'{"errors":[7]}', "received unexpected HTTP status: 400 Bad Request"),
        (400, b'{"errors":[{"code":7,"message":[]}]}', "received unexpected HTTP status: 400 Bad Request"),
    ],
)
def test_what_a_registry_says_when_it_refuses(status: int, body: bytes, says: str) -> None:
    assert refusal(status, body).message == says


@given(st.integers(100, 999), st.binary(max_size=30))
def test_any_refusal_is_one_line(status: int, body: bytes) -> None:
    assert "\n" not in refusal(status, body).message


@given(st.text(max_size=50))
def test_any_configuration_of_docker_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "config.json").write_text(text, errors="replace")
    with suppress(MinirunError):
        CredentialStore({"DOCKER_CONFIG": str(directory)}).credentials("r")


def test_the_client_is_not_imported_before_it_is_needed() -> None:
    """urllib3 would be in the memory of the fork server, and of each worker."""
    code = "import sys; from minirun.cli.main import prepare; prepare(); print('urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
