"""The registry client against a registry that misbehaves: what it survives, and what it says."""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest

from minirun.config import Config
from minirun.errors import MinirunError
from minirun.image.manifests import OCI_INDEX, Descriptor, Manifest
from minirun.image.platforms import platform
from minirun.image.reference import digest_of, parse_reference
from minirun.image.registry import hosts, session
from minirun.image.registry.blob_stream import BlobStream
from minirun.image.registry.client import Client, SearchResult
from minirun.image.registry.credentials import Credentials, CredentialStore
from minirun.image.registry.repository import Repository
from minirun.image.registry.session import Session
from minirun.image.registry.transport import Transport
from tests.harness.false_registry import CERTIFICATES, DOCKER_LIST, FalseRegistry

LAYER = os.urandom(3 << 20)
AMD64 = platform("linux", "amd64")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no delay beyond what the registry asks for, no configuration of whoever runs the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(session, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(hosts, "CERTIFICATES", (tmp_path / "certs.d",))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def registry() -> Iterator[FalseRegistry]:
    with FalseRegistry() as made:
        yield made


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(Config(), CredentialStore()) as made:
        yield made


def box(client: Client, registry: FalseRegistry) -> Repository:
    return client.repository(parse_reference(f"{registry.host}/box"))


def blob(content: bytes) -> Descriptor:
    return Descriptor("", digest_of(content), len(content))


def says(call: Callable[[], Any]) -> str:
    """The error of a call, with its hint."""
    with pytest.raises(MinirunError) as raised:
        call()
    return f"{raised.value.message} [{raised.value.hint}]"


def test_an_image_is_found_in_nested_indexes(client: Client, registry: FalseRegistry) -> None:
    arm, amd = registry.add_image("", b"arm"), registry.add_image("", b"amd", b"top")
    note = {**registry.add_image("", b"note"), "platform": {"os": "unknown", "architecture": "unknown"}}
    inner = registry.add_manifest(
        {"manifests": [note, {**amd, "platform": {"os": "linux", "architecture": "amd64"}}]}, media_type=OCI_INDEX
    )
    arm["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    registry.add_manifest({"manifests": [note, arm, inner]}, "latest", DOCKER_LIST)
    repository = box(client, registry)
    found = repository.find("latest", AMD64)
    assert (found.manifest.digest, found.top.media_type) == (amd["digest"], DOCKER_LIST)
    assert [repository.blob(layer).readall() for layer in found.image.layers] == [b"amd", b"top"]
    assert b'"architecture": "amd64"' in repository.read_blob(found.image.config)
    assert repository.find(found.top.digest, platform("linux", "arm64")).manifest.digest == arm["digest"]
    assert says(lambda: repository.find("latest", platform("linux", "s390x"))) == (
        "no matching manifest for linux/s390x in the manifest list entries [there is one for linux/arm64]"
    )


def test_an_index_that_holds_itself_ends(client: Client, registry: FalseRegistry) -> None:
    """Digests forbid it; so many levels are the same."""
    inner = registry.add_image("", b"x")
    for level in range(40):
        inner = registry.add_manifest({"manifests": [inner], "annotations": {"level": str(level)}}, "deep", OCI_INDEX)
    assert "nested too deeply" in says(lambda: box(client, registry).find("deep", AMD64))


def test_lies_about_digests_and_sizes(client: Client, registry: FalseRegistry) -> None:
    registry.add_image("latest", LAYER)
    repository = box(client, registry)
    good = registry.manifests["latest"][1]
    registry.manifests[digest_of(b"other")] = registry.manifests["latest"]
    assert f"is not {digest_of(b'other')}" in says(lambda: repository.manifest(digest_of(b"other")))
    stated = {"Content-Type": "application/json", "Docker-Content-Digest": digest_of(b"other")}
    registry.answers.append(("manifests", 200, {**stated, "Content-Length": str(len(good))}, good))
    assert f"is not {digest_of(b'other')}" in says(lambda: repository.manifest("latest"))
    registry.answers.append(("manifests", 200, {**stated, "Docker-Content-Digest": "md5:x"}, good))
    assert "is not md5:x" in says(lambda: repository.manifest("latest"))
    registry.blobs[digest_of(b"1234")] = b"1235"
    assert "is not sha256:" in says(lambda: repository.read_blob(blob(b"1234")))
    for size in (len(LAYER) - 1, len(LAYER) + 1):
        found = says(lambda size=size: repository.blob(Descriptor("", digest_of(LAYER), size)).readall())
        assert f"has {len(LAYER)} bytes for {digest_of(LAYER)}; its manifest says {size}" in found
    registry.answers.append(("manifests", 200, {"Content-Length": str(100 << 20)}, bytes(5 << 20)))
    started = time.monotonic()
    assert "is too large" in says(lambda: repository.manifest("latest"))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("start", "cuts", "ignores_range", "skipped"),
    [
        (0, [], False, 0),
        (1000, [], False, 0),
        (1000, [], True, 1000),
        (0, [1 << 20, 1 << 20], False, 0),
        (0, [1 << 20], True, 1 << 20),
        (0, [0, 0, 0, 0], False, 0),
        (0, [0] * 4 + [2 << 20] + [0] * 3, False, 0),
        (len(LAYER), [], False, 0),
    ],
)
def test_a_download_that_is_cut_goes_on_where_it_was(
    client: Client, registry: FalseRegistry, start: int, cuts: list[int], ignores_range: bool, skipped: int
) -> None:
    registry.add_blob(LAYER)
    registry.cuts, registry.ignores_range = list(cuts), ignores_range
    with box(client, registry).blob(blob(LAYER), start) as stream:
        assert stream.read(10) + stream.readall() == LAYER[start:]
        assert (stream.skipped, stream.tell(), registry.cuts) == (skipped, len(LAYER), [])
    requests = registry.asked("/blobs/")
    assert len(requests) == len(cuts) + (start < len(LAYER))
    if cuts == [1 << 20, 1 << 20]:
        assert [headers.get("Range") for _, _, headers in requests] == [None, "bytes=1048576-", "bytes=2097152-"]


def test_a_download_that_is_always_cut_ends(client: Client, registry: FalseRegistry) -> None:
    registry.add_blob(LAYER)
    registry.cuts = [1000] * 100
    found = says(lambda: box(client, registry).blob(blob(LAYER)).readall())
    assert f"the download of {digest_of(LAYER)} was cut off after" in found
    assert len(registry.asked("/blobs/")) <= 6


def test_a_range_that_does_not_fit_is_not_believed(client: Client, registry: FalseRegistry) -> None:
    registry.add_blob(LAYER)
    for wrong in ("bytes 0-9/10", "nonsense", ""):
        registry.answers.append(("/blobs/", 206, {"Content-Range": wrong}, b"0123456789"))
        stream = box(client, registry).blob(blob(LAYER), 1000)
        assert stream.readall() == LAYER[1000:]
    registry.answers.append(("/blobs/", 416, {}, b""))
    assert box(client, registry).blob(blob(LAYER), 1000).readall() == LAYER[1000:]


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_is_tried_again(client: Client, registry: FalseRegistry, status: int) -> None:
    registry.add_image("latest")
    registry.answers = [("manifests", status, {"Retry-After": "0"}, b"")] * 4
    assert box(client, registry).manifest("latest").raw
    registry.answers = [("manifests", status, {}, b"")] * 9
    assert ("toomanyrequests" if status == 429 else f"status: {status}") in says(
        lambda: box(client, registry).manifest("latest")
    )
    assert len(registry.answers) == 4


def test_retry_after_is_obeyed_within_bounds(client: Client, registry: FalseRegistry) -> None:
    registry.add_image("latest")
    registry.answers = [("manifests", 429, {"Retry-After": "1"}, b"")]
    started = time.monotonic()
    assert box(client, registry).manifest("latest").raw
    assert time.monotonic() - started >= 1
    limit = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'
    registry.answers = [("manifests", 429, {"Retry-After": "21600"}, limit)] * 2
    found = says(lambda: box(client, registry).manifest("latest"))
    assert found == (
        "toomanyrequests: You have reached your pull rate limit. [the registry asks to try again in 21600 seconds]"
    )
    assert len(registry.answers) == 1


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_authorization_never_follows_a_redirect(client: Client, registry: FalseRegistry, auth: str) -> None:
    registry.auth = auth
    with FalseRegistry() as other:
        other.add_blob(b"content")
        registry.blobs_at = other.url
        client.store.put(registry.host, Credentials("me", "sesame"))
        assert box(client, registry).blob(blob(b"content")).readall() == b"content"
        assert "Authorization" in registry.asked("/blobs/")[-1][2]
        assert [set(headers) & {"Authorization", "Cookie"} for _, _, headers in other.requests] == [set()]
        other.auth = auth  # it asks for what it must not have
        other.requests.clear()
        assert "unauthorized" in says(lambda: box(client, registry).blob(blob(b"content")))
        assert [headers.get("Authorization") for _, _, headers in other.requests] == [None]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://127.0.0.1/x", "which is no HTTP URL"),
        ("http://127.0.0.1:99999/", "which is no HTTP URL"),
        ("/v2/box/blobs/sha256:loop", "stopped after 10 redirects"),
        ("http://registry.invalid/", "no such host"),
    ],
)
def test_redirects_that_lead_nowhere(client: Client, registry: FalseRegistry, location: str, reason: str) -> None:
    registry.answers = [("/blobs/", 302, {"Location": location}, b"")] * 11
    found = says(lambda: box(client, registry).blob(blob(b"x")))
    assert reason in found or "temporary failure in name resolution" in found


def test_tokens_are_shared_and_fetched_again_when_they_expire(client: Client, registry: FalseRegistry) -> None:
    registry.auth, registry.token_uses = "bearer", 3
    registry.add_image("latest", LAYER)
    registry.cuts = [1 << 20] * 2
    repository = box(client, registry)
    found = repository.find("latest", AMD64)
    assert repository.blob(found.image.layers[0]).readall() == LAYER  # the third part needs the second token
    assert [path for _, path, _ in registry.asked("/token")] == [
        "/token?service=test&scope=repository%3Abox%3Apull"
    ] * 2

    registry.token_uses, registry.tokens = 1000, {}
    threads = [threading.Thread(target=repository.manifest, args=("latest",)) for _ in range(8)]
    registry.requests.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.asked("/token")) == 1

    registry.token_answer = {"expires_in": 1}
    registry.tokens, before = {}, len(registry.asked("/token"))
    repository.manifest("latest")
    time.sleep(1)
    repository.manifest("latest")
    assert len(registry.asked("/token")) == before + 2
    assert all(headers.get("Authorization") != "Bearer " for _, _, headers in registry.requests)


def test_who_one_is_to_a_token_server(client: Client, registry: FalseRegistry) -> None:
    registry.auth = "bearer"
    registry.add_image("latest")
    client.store.put(registry.host, Credentials("me", "wrong"))
    assert "unauthorized: incorrect username or password [minirun login" in says(
        lambda: box(client, registry).manifest("latest")
    )
    registry.identity_token = "long-lived"
    with Client(Config(), client.store) as other:
        accepted = other.login(registry.host, Credentials("me", "sesame"))
        assert "offline_token=true" in registry.asked("/token")[-1][1]
        assert accepted == Credentials("me", "", "long-lived")
        other.store.put(registry.host, accepted)
        assert box(other, registry).manifest("latest").raw
    method, path, headers = registry.asked("/token")[-1]
    assert (method, path, "Authorization" in headers) == ("POST", "/token", False)
    client.store.put(registry.host, Credentials("me", "", "stale"))
    with Client(Config(), client.store) as other:
        assert "unauthorized: refresh token is invalid" in says(lambda: box(other, registry).manifest("latest"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b"[]"), "sent no JSON object"),
        ((200, b'{"token": ""}'), "sent no token"),
        ((200, b'{"token": "a\\nb"}'), "sent no token"),
        ((200, b'{"token": 7}'), "sent no token"),
        ((403, b'{"errors":[{"code":"DENIED","message":"no"}]}'), "pull access denied for {host}/box, repository does"),
    ],
)
def test_token_servers_that_misbehave(
    client: Client, registry: FalseRegistry, answer: tuple[int, bytes], reason: str
) -> None:
    registry.auth = "bearer"
    registry.answers = [("/token", answer[0], {}, answer[1])]
    assert reason.format(host=registry.host) in says(lambda: box(client, registry).manifest("latest"))


def test_the_words_of_docker_for_what_is_not_there(client: Client, registry: FalseRegistry) -> None:
    repository, host = box(client, registry), registry.host
    assert says(lambda: repository.manifest("nope")) == (
        f"manifest for {host}/box:nope not found: manifest unknown: manifest unknown []"
    )
    denied = {"WWW-Authenticate": f'Bearer realm="{registry.url}/token",error="insufficient_scope"'}
    registry.answers = [("manifests", 401, denied, b"")] * 2
    assert says(lambda: repository.manifest("latest")).startswith(
        f"pull access denied for {host}/box, repository does not exist or may require 'docker login':"
        " requested access to the resource is denied"
    )
    registry.answers = [("manifests", 404, {}, b"<html>")]
    assert f"manifest for {host}/box:x not found: manifest unknown" in says(lambda: repository.manifest("x"))
    assert "blob unknown" in says(lambda: repository.blob(blob(b"absent")))


def test_what_is_sent(client: Client, registry: FalseRegistry) -> None:
    registry.auth = "bearer"
    repository, opened = box(client, registry), []

    def open_at(start: int) -> IO[bytes]:
        opened.append(start)
        return io.BytesIO(LAYER[start:])

    assert not repository.has_blob(blob(LAYER))
    registry.cuts = [1 << 20]  # the registry forgets it
    assert not repository.upload(blob(LAYER), open_at)
    assert (opened, repository.has_blob(blob(LAYER))) == ([0, 0], True)
    assert repository.upload(blob(LAYER), open_at, mount_from="other")
    scopes = [path for _, path, _ in registry.asked("/token")]
    assert "repository%3Aother%3Apull" in scopes[-1]
    assert "repository%3Abox%3Apull%2Cpush" in scopes[-1]
    registry.blobs.clear()
    opened.clear()
    registry.keeps_uploads, registry.cuts, registry.token_uses, registry.tokens = True, [1 << 20], 1, {}
    assert not repository.upload(blob(LAYER), open_at, mount_from="other")  # each token serves one request
    assert (opened[-1], registry.blobs[digest_of(LAYER)] == LAYER) == (1 << 20, True)
    registry.token_uses = 1000
    registry.keeps_uploads, registry.cuts = False, [1000] * 9
    assert "EOF" in says(lambda: repository.upload(blob(LAYER), open_at))
    raw = b'{"schemaVersion":2}'
    repository.put_manifest("new", Manifest(OCI_INDEX, digest_of(raw), raw))
    assert registry.manifests["new"] == (OCI_INDEX, raw)
    registry.answers = [("manifests", 403, {}, b'{"errors":[{"code":"DENIED","message":"read-only"}]}')]
    assert "denied: read-only [minirun login" in says(
        lambda: repository.put_manifest("new", Manifest(OCI_INDEX, digest_of(raw), raw))
    )


def test_lists_that_come_page_by_page(client: Client, registry: FalseRegistry) -> None:
    link = {"Link": '</v2/box/tags/list?last=b&n=2>; rel="next"'}
    registry.answers = [
        ("tags", 200, link, b'{"tags": ["a", "b"]}'),
        ("last=b", 200, {}, b'{"tags": ["c"]}'),
        ("catalog", 200, {}, b'{"repositories": ["box"]}'),
        ("tags", 200, {}, b'{"tags": null}'),
        ("tags", 200, {}, b'{"tags": [1]}'),
    ]
    assert box(client, registry).tags() == ["a", "b", "c"]
    assert client.catalog(registry.host) == ["box"]
    assert box(client, registry).tags() == []
    assert "is not a list of tags" in says(lambda: box(client, registry).tags())
    registry.answers = [("catalog", 200, {}, b'{"repositories": ["box", "tool", "toolbox"]}')]
    assert [found.name for found in client.search(registry.host, "tool")] == ["tool", "toolbox"]
    result = b'{"results": [{"name": "a", "description": "x\\ny", "star_count": 7, "is_official": true}]}'
    registry.answers = [("v1/search?q=a+b&n=25", 200, {}, result), ("search", 200, {}, b'{"results": [7]}')]
    assert client.search(registry.host, "a b") == [SearchResult("a", "x y", 7, True)]
    assert "not a list of search results" in says(lambda: client.search(registry.host, "a"))
    assert f"{registry.host} has no search: blob unknown" in says(lambda: client.search(registry.host, "a"))


def test_mirrors_are_asked_first_and_may_fail(registry: FalseRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        hub, wrong = (stack.enter_context(FalseRegistry(certificate)) for certificate in ("server", ""))
        monkeypatch.setattr(hosts, "_HUB_HOST", hub.host)
        down = "http://127.0.0.1:9"
        for server in (hub, registry):
            server.add_image("latest", b"layer")
        wrong.manifests = {digest_of(b"x"): ("", b"y")}
        reference = parse_reference("box")
        client = stack.enter_context(
            Client(Config(registry_mirrors=(down, wrong.url, registry.url)), CredentialStore())
        )
        client.store.put("https://index.docker.io/v1/", Credentials("me", "sesame"))
        registry.auth = "bearer"
        repository = client.repository(reference)
        found = repository.find("latest", AMD64)
        assert repository.blob(found.image.layers[0]).readall() == b"layer"
        assert hub.requests == []
        assert {path for _, path, _ in wrong.asked("manifests/latest")} == {"/v2/library/box/manifests/latest"}
        assert all("Authorization" not in headers for _, _, headers in registry.asked("/token"))  # those are the hub's
        registry.manifests.clear()
        assert repository.find("latest", AMD64) == found
        hub.blobs[digest_of(LAYER)], registry.blobs[digest_of(LAYER)] = LAYER, LAYER
        registry.cuts = [1 << 20] + [0] * 9  # it ends in the midst
        assert repository.blob(blob(LAYER)).readall() == LAYER
        registry.cuts = [1 << 20]
        with repository.blob(blob(LAYER)) as stream:
            first = stream.read(10)
            registry.answers = [("/blobs/", 404, {}, b"")]  # it forgets it in the midst
            assert first + stream.readall() == LAYER
        registry.cuts, registry.blobs[digest_of(LAYER)] = [], LAYER[::-1]
        assert repository.read_blob(blob(LAYER)) == LAYER  # it lies
        assert repository.blob(blob(LAYER), mirrors=False).readall() == LAYER
        repository.put_manifest("pushed", found.manifest)
        assert "pushed" in hub.manifests


def test_certificates(tmp_path: Path) -> None:
    """Each server's are looked up by HOST:PORT; `localhost` is not taken for secure because it is this machine."""

    def ask(server: FalseRegistry, *names: str) -> str:
        directory = tmp_path / "certs.d" / server.host
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            source = "ca.crt" if name == "ca.crt" else "client.pem"
            (directory / name).write_bytes((CERTIFICATES / source).read_bytes())
        with Client(Config(), CredentialStore()) as client:
            monkey.setattr(hosts, "is_insecure", lambda host, config: False)
            try:
                return client.repository(parse_reference(f"{server.host}/box")).manifest("latest").media_type
            except MinirunError as error:
                return f"{error.message} [{error.hint}]"

    with pytest.MonkeyPatch.context() as monkey, ExitStack() as stack:
        kinds = ("server", "expired", "future")
        good, expired, future = (stack.enter_context(FalseRegistry(kind)) for kind in kinds)
        strict = stack.enter_context(FalseRegistry("server", wants_client=True))
        plain = stack.enter_context(FalseRegistry())
        for server in (good, strict, plain):
            server.add_image("latest")
        found = ask(good)
        assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in found
        assert f"certs.d/{good.host}/ca.crt" in found
        assert "docker.distribution.manifest" in ask(good, "ca.crt")
        assert "certificate has expired or is not yet valid: current time 20" in ask(expired, "ca.crt")
        found = ask(future, "ca.crt")
        assert "is before it is valid" in found
        assert "set this host's clock" in found
        found = ask(strict, "ca.crt")  # the server's alert may be overtaken by the end of the connection
        assert any(words in found for words in ("client.cert and client.key", "EOF", "connection reset by peer"))
        assert "missing key client.key for client certificate" in ask(strict, "client.cert")
        assert "docker.distribution.manifest" in ask(strict, "client.key")
        found = ask(plain)
        assert "http: server gave HTTP response to HTTPS client" in found
        assert f"list {plain.host} in insecure-registries" in found
        (tmp_path / "certs.d" / plain.host / "ca.crt").write_text("nonsense")
        assert "cannot use" in ask(plain)


def test_a_server_without_tls_of_this_machine_is_spoken_to_by_http_and_a_lost_one_is_named(client: Client) -> None:
    with FalseRegistry("expired") as secure:  # any certificate will do
        secure.add_image("latest")
        assert box(client, secure).manifest("latest").raw
        host = secure.host
    with Client(Config(), client.store) as other:
        assert says(lambda: other.repository(parse_reference(f"{host}/box")).manifest("latest")) == (
            f'Get "http://{host}/v2/box/manifests/latest": dial tcp {host}: connect: connection refused []'
        )
    reference = parse_reference("registry.invalid/box")
    found = says(lambda: client.repository(reference).manifest("latest"))
    assert 'Get "https://registry.invalid/v2/box/manifests/latest": dial tcp: lookup registry.invalid:' in found


def test_a_closed_client_wakes_who_waits(client: Client, registry: FalseRegistry) -> None:
    registry.add_blob(LAYER)
    registry.pause = 0.2
    stream = box(client, registry).blob(blob(LAYER))
    ended: list[BaseException] = []

    def download(stream: BlobStream) -> None:
        try:
            stream.readall()
        except MinirunError as error:
            ended.append(error)

    waiting = threading.Thread(target=download, args=(stream,))
    waiting.start()
    time.sleep(0.1)
    started = time.monotonic()
    client.close()
    waiting.join(5)
    assert [str(error) for error in ended] == ["cancelled"]
    assert time.monotonic() - started < 1
    assert says(lambda: box(client, registry).manifest("latest")) == "cancelled []"


def test_a_proxy_is_used_for_what_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees whole URLs; what it answers is the registry's answer."""
    with FalseRegistry() as proxy:
        proxy.add_image("latest")
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@{proxy.host}")
        monkeypatch.setattr(hosts, "_HUB_HOST", "hub.invalid")
        with Client(Config(registry_mirrors=("http://mirror.invalid",)), CredentialStore()) as client:
            assert client.repository(parse_reference("box")).manifest("latest").raw
        (_, path, headers) = proxy.requests[0]
        assert path == "http://mirror.invalid/v2/library/box/manifests/latest"
        assert headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with Client(Config(), CredentialStore()) as client:
            found = says(lambda: client.repository(parse_reference("box")).manifest("latest"))
        assert found.startswith('Get "https://hub.invalid/v2/library/box/manifests/latest": proxyconnect tcp: Tunnel')
        assert proxy.asked("hub.invalid:443", "CONNECT")


def test_https_never_leads_to_http() -> None:
    """Not by a redirect, a token server or an upload's address; but a proxy may not know that it ends TLS."""
    transport, config = Transport(Config()), Config(insecure_registries=("plain.example",))
    for url in ("http://r.example/token", "http://other.example/x"):
        with pytest.raises(MinirunError, match="leads from HTTPS to HTTP") as raised:
            transport.check_url(url, came_from="https://r.example/v2/")
        assert "insecure-registries" in raised.value.hint
    transport.check_url("http://127.0.0.1:5000/x", came_from="https://r.example/")
    transport.check_url("http://r.example/x", came_from="http://r.example/")
    Transport(config).check_url("http://plain.example/x", came_from="https://r.example/")
    with pytest.raises(MinirunError, match="which is no HTTP URL"):
        transport.check_url("file:///etc/shadow", came_from="https://r.example/")
    session = Session(transport, hosts.endpoints("r.example", Config())[0], CredentialStore())
    assert session.absolute("http://r.example/v2/box/up?x=1", "/v2/box/") == "https://r.example/v2/box/up?x=1"
    assert session.absolute("up/1", "/v2/box/") == "https://r.example/v2/box/up/1"


def test_a_download_outlives_a_registry_that_starts_anew(
    client: Client, registry: FalseRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_FIRST_DELAY", 0.1)
    registry.add_blob(LAYER)
    registry.cuts = [1 << 20]
    started: list[FalseRegistry] = []

    def start_anew() -> None:
        started.append(FalseRegistry(port=registry.server_address[1]))
        started[0].blobs = registry.blobs
        started[0].__enter__()

    with box(client, registry).blob(blob(LAYER)) as stream:
        first = stream.read(10)
        registry.shutdown()
        registry.socket.close()
        timer = threading.Timer(0.2, start_anew)
        timer.start()
        assert first + stream.readall() == LAYER
    timer.join()
    assert [headers.get("Range") for _, _, headers in started[0].requests] == ["bytes=1048576-"]
    started[0].__exit__()
