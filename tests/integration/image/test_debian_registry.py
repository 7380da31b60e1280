"""The registry client against Debian's docker-registry, which does what the specification says."""

import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.config import Config
from minirun.errors import MinirunError
from minirun.image.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from minirun.image.platforms import platform
from minirun.image.reference import digest_of, parse_reference
from minirun.image.registry import hosts
from minirun.image.registry.client import Client
from minirun.image.registry.credentials import Credentials, CredentialStore
from minirun.image.registry.repository import Repository
from tests.harness.false_registry import CERTIFICATES, DOCKER_LIST, debian_registry

LAYER = gzip.compress(os.urandom(1 << 20), mtime=0)
CONFIG = b'{"os":"linux","architecture":"amd64"}'
_FAMILIES = {
    OCI_MANIFEST: (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        OCI_INDEX,
    ),
    DOCKER_MANIFEST: (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        DOCKER_LIST,
    ),
}


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hosts, "CERTIFICATES", (tmp_path / "certs.d",))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(Config(), CredentialStore()) as made:
        yield made


def json_of(descriptor: Descriptor, more: str = "") -> str:
    return f'{{"mediaType":"{descriptor.media_type}","digest":"{descriptor.digest}","size":{descriptor.size}{more}}}'


def push(repository: Repository, tag: str, family: str, mount_from: str = "") -> tuple[Manifest, list[bool]]:
    """An image of one layer, in an index. Returns the index, and for each blob whether it was mounted."""
    config_type, layer_type, index_type = _FAMILIES[family]
    mounted, blobs = [], []
    for media_type, content in ((config_type, CONFIG), (layer_type, LAYER)):
        blobs.append(Descriptor(media_type, digest_of(content), len(content)))
        if not repository.has_blob(blobs[-1]):
            mounted.append(
                repository.upload(blobs[-1], lambda start, content=content: io.BytesIO(content[start:]), mount_from)
            )
    raw = f'{{"schemaVersion":2,"mediaType":"{family}","config":{json_of(blobs[0])},"layers":[{json_of(blobs[1])}]}}'
    manifest = Manifest(family, digest_of(raw.encode()), raw.encode())
    repository.put_manifest(manifest.digest, manifest)
    entry = json_of(manifest.descriptor, ',"platform":{"os":"linux","architecture":"amd64"}')
    raw = f'{{"schemaVersion":2,"mediaType":"{index_type}","manifests":[{entry}]}}'
    index = Manifest(index_type, digest_of(raw.encode()), raw.encode())
    repository.put_manifest(tag, index)
    return index, mounted


@pytest.mark.parametrize("family", _FAMILIES)
def test_what_is_pushed_is_pulled_again(client: Client, tmp_path: Path, family: str) -> None:
    with debian_registry(tmp_path) as host:
        first, second = (client.repository(parse_reference(f"{host}/{name}")) for name in ("a/first", "second"))
        pushed, mounted = push(first, "latest", family)
        assert mounted == [False, False]
        assert push(second, "v1", family, "a/first") == (pushed, [True, True])
        found = second.find("v1", platform("linux", "amd64"))
        assert found.top == pushed
        assert second.read_blob(found.image.config) == CONFIG
        with second.blob(found.image.layers[0], 1000) as stream:
            assert (stream.readall(), stream.skipped) == (LAYER[1000:], 0)
        assert (first.tags(), sorted(client.catalog(host))) == (["latest"], ["a/first", "second"])
        with pytest.raises(MinirunError, match=f"manifest for {host}/second:v2 not found: manifest unknown"):
            second.find("v2", platform("linux", "amd64"))
        with pytest.raises(MinirunError, match="provided digest did not match uploaded content"):
            first.upload(Descriptor("", digest_of(b"x"), 1), lambda start: io.BytesIO(b"y"))


def test_an_upload_that_breaks_off_begins_anew(client: Client, tmp_path: Path) -> None:
    opened = []

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1 << 19:
                raise OSError("the disk is gone for a moment")
            return super().read(size)

    def open_at(start: int) -> io.BytesIO:
        opened.append(start)
        return (Broken if len(opened) == 1 else io.BytesIO)(LAYER[start:])

    with debian_registry(tmp_path) as host:
        repository = client.repository(parse_reference(f"{host}/box"))
        layer = Descriptor("", digest_of(LAYER), len(LAYER))
        assert not repository.upload(layer, open_at)
        assert len(opened) == 2
        assert repository.blob(layer).readall() == LAYER


def test_a_registry_with_tls_and_a_password(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "is_insecure", lambda host, config: False)
    with debian_registry(tmp_path, password=True, tls=True) as host:
        reference = parse_reference(f"{host}/box")
        (tmp_path / "certs.d" / host).mkdir(parents=True)
        (tmp_path / "certs.d" / host / "ca.crt").write_bytes((CERTIFICATES / "ca.crt").read_bytes())
        with pytest.raises(MinirunError, match="unauthorized: authentication required") as raised:
            push(client.repository(reference), "latest", OCI_MANIFEST)
        assert raised.value.hint == f"minirun login {host} with an account that may push box"
        with pytest.raises(MinirunError, match=r'Get "https://.*/v2/": unauthorized: incorrect username or password'):
            client.login(host, Credentials("me", "wrong"))
        client.store.put(host, client.login(host, Credentials("me", "sesame")))
        with Client(Config(), client.store) as other:
            pushed, _ = push(other.repository(reference), "latest", OCI_MANIFEST)
            assert other.repository(reference).manifest("latest") == pushed
