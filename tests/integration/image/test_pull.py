"""pull: from a registry that behaves, on a throwaway host, and from one that does not, into a state root of its own."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from minirun.config import Config
from minirun.errors import MinirunError
from minirun.image import layers, records
from minirun.image.load import load
from minirun.image.platforms import host_platform
from minirun.image.pull import Pulled, pull
from minirun.image.push import push
from minirun.image.reference import Reference, parse_reference
from minirun.image.registry import hosts, session
from minirun.image.registry.client import Client
from minirun.image.registry.credentials import CredentialStore
from minirun.image.remove import prune_images, remove_image
from minirun.instance import Instance
from tests.harness import Host
from tests.harness.false_registry import DOCKER_MANIFEST, FalseRegistry, debian_registry, digest
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import archive, inspect, refused, run, special

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(session, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(hosts, "CERTIFICATES", ())
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path / "root")


@pytest.fixture
def registry() -> Iterator[FalseRegistry]:
    with FalseRegistry() as made:
        yield made


class Report:
    """What a pull has told."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.kept_bytes = 0

    def found(self, reference: Reference) -> None:
        pass

    def state(self, layer: str, text: str) -> None:
        self.states.append((layer, text))

    def advance(self, layer: str, current: int, total: int) -> None:
        assert 0 < current <= total

    def kept(self, size: int) -> None:
        self.kept_bytes = size


def add_image(registry: FalseRegistry, *packed: bytes, tag: str = "latest", **changes: Any) -> dict[str, Any]:
    """An image of these layers, as they are transferred."""
    plain = [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else zstd.decompress(data) for data in packed]
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in plain]
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": digests}, **changes}
    config = registry.add_blob(json.dumps(document).encode())
    config["mediaType"] = "application/vnd.docker.container.image.v1+json"
    described = [registry.add_blob(data) for data in packed]
    for layer, data in zip(described, packed, strict=True):
        if data[:2] != b"\x1f\x8b":
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
    return registry.add_manifest({"config": config, "layers": described}, tag, DOCKER_MANIFEST)


def pulled(instance: Instance, registry: FalseRegistry, report: Report | None = None, name: str = "box") -> Pulled:
    with Client(Config(), CredentialStore()) as client:
        reference = parse_reference(f"{registry.host}/{name}").tagged()
        return pull(instance, client, reference, host_platform(), report or Report())


def files(instance: Instance) -> list[str]:
    """What there is of layers and blobs."""
    found = [f"{place}/{name}" for place in ("layers", "blobs") for name in _listed(instance.root / place)]
    return sorted(name.partition("-")[0] for name in found)


def _listed(directory: Path) -> list[str]:
    return os.listdir(directory) if directory.is_dir() else []


SMALL = gzip.compress(archive(("a", "1")), mtime=0)
# Random content, so that its compressed form is long, too.
BIG = gzip.compress(archive(("big", os.urandom(1 << 20).hex())), 1, mtime=0)


def test_layers_are_shared_merged_and_kept_as_they_came(instance: Instance, registry: FalseRegistry) -> None:
    second = zstd.compress(archive(("b", "2"), (".wh.a", "")))
    add_image(registry, SMALL, second, SMALL)
    report = Report()
    first = pulled(instance, registry, report)
    assert first.is_new
    assert [text for _, text in report.states].count("Pull complete") == 2
    image = records.tagged(instance.store, f"{registry.host}/box:latest")
    assert image is not None
    assert len(image.layers) == 3
    assert image.lower.count("layers/") == 2  # overlayfs takes no directory twice
    assert [(instance.root / "blobs" / blob.file).read_bytes() for blob in map(_blob(instance), image.layers)] == [
        SMALL,
        second,
        SMALL,
    ]
    asked = len(registry.asked("/blobs/"))
    assert not pulled(instance, registry).is_new
    assert len(registry.asked("/blobs/")) == asked + 1  # the configuration
    add_image(registry, SMALL, tag="other")
    assert pulled(instance, registry, name="box:other").is_new
    assert len(registry.asked(hashlib.sha256(SMALL).hexdigest())) == 1
    remove_image(instance, f"{registry.host}/box:latest", force=False, prune=True)
    remove_image(instance, f"{registry.host}/box:other", force=False, prune=True)
    assert files(instance) == []


def _blob(instance: Instance) -> Any:
    return lambda layer: records.blob_of(instance.store, layer.diff_id)


def test_a_pull_that_fails_goes_on_where_it_was(instance: Instance, registry: FalseRegistry) -> None:
    add_image(registry, SMALL, BIG)
    digest = hashlib.sha256(BIG).hexdigest()
    half = len(BIG) // 2
    partial = instance.root / "blobs" / f"partial-{digest}"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BIG[:half])
    layers.sweep(instance)
    assert partial.stat().st_size == half  # no command but a prune removes it
    pulled(instance, registry)
    (request,) = registry.asked(digest)
    assert request[2]["Range"] == f"bytes={half}-"
    assert files(instance) == ["blobs/" + name for name in sorted(os.listdir(partial.parent))] + [
        "layers/" + name for name in sorted(os.listdir(instance.root / "layers"))
    ]
    assert not partial.exists()


def test_what_was_kept_is_told_and_pruned(instance: Instance, registry: FalseRegistry) -> None:
    add_image(registry, BIG, SMALL)
    registry.answers = [(hashlib.sha256(BIG).hexdigest(), 404, {}, b"{}")]
    registry.cuts = [1 << 30, 10] + [0] * 20  # after the configuration, the small layer breaks off and does not go on
    report = Report()
    with pytest.raises(MinirunError):
        pulled(instance, registry, report)
    blobs = instance.root / "blobs"
    assert report.kept_bytes == sum(path.stat().st_size for path in blobs.iterdir())
    assert records.all_images(instance.store) == []
    assert _listed(instance.root / "layers") == []
    assert layers.remove_partial(instance) == report.kept_bytes
    assert files(instance) == []


_PULL = """
{patch}
import sys, os, signal
from minirun.config import Config
from minirun.image.platforms import host_platform
from minirun.image.pull import pull
from minirun.image.reference import parse_reference
from minirun.image.registry.client import Client
from minirun.image.registry.credentials import CredentialStore
from minirun.instance import Instance
from pathlib import Path

class Report:
    def found(self, reference): pass
    def state(self, layer, text): pass
    def kept(self, size): pass
    def advance(self, layer, current, total):
        if current > {limit}: os.kill(os.getpid(), signal.{signal})

with Client(Config(), CredentialStore()) as client:
    name = parse_reference("{host}/box").tagged()
    print(pull(Instance(Path("{root}")), client, name, host_platform(), Report()).id)
"""


def pulling(
    instance: Instance, registry: FalseRegistry, limit: int, sent: str = "SIGKILL", patch: str = ""
) -> "subprocess.Popen[str]":
    script = _PULL.format(limit=limit, host=registry.host, root=instance.root, signal=sent, patch=patch)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("sent", "code"), [("SIGKILL", -9), ("SIGINT", -2)])
def test_a_pull_that_is_ended_goes_on_where_it_was(
    instance: Instance, registry: FalseRegistry, sent: str, code: int
) -> None:
    add_image(registry, BIG)
    half = len(BIG) // 2
    process = pulling(instance, registry, half, sent)
    process.communicate(timeout=30)
    assert process.returncode in (code, 1)
    partial = instance.root / "blobs" / f"partial-{hashlib.sha256(BIG).hexdigest()}"
    kept = partial.stat().st_size
    assert kept >= half
    layers.sweep(instance)
    assert _listed(instance.root / "layers") == []
    pulled(instance, registry)
    fetched = [
        int(request[2].get("Range", "bytes=0-")[6:-1]) for request in registry.asked("sha256:" + partial.name[8:])
    ]
    assert fetched == [0, kept] or kept == len(BIG)
    assert not partial.exists()


# What a pull does at its end, when all layers are there: `target` names the function that kills it.
_LAST_STEPS = [
    "pathlib.Path.rename",
    *(f"minirun.image.records.{name}" for name in ("add", "add_blob", "set_manifest")),
]
_LAST_STEPS += ["minirun.image.records.tag", "minirun.store.Store.add_event"]


@pytest.mark.parametrize("step", _LAST_STEPS)
def test_a_pull_that_is_killed_before_it_has_recorded_its_image(
    instance: Instance, registry: FalseRegistry, step: str
) -> None:
    """Some blobs have their names by then, and no record."""
    add_image(registry, BIG, SMALL)
    owner, _, name = step.rpartition(".")
    patch = (
        "import os, pathlib, signal, minirun.image.records, minirun.store\n"
        f"known, calls = {step}, []\n"
        "def die(*args):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == {2 if name in ('rename', 'add_blob') else 1}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return known(*args)\n"
        f"{owner}.{name} = die\n"
    )
    process = pulling(instance, registry, 1 << 40, patch=patch)
    process.communicate(timeout=30)
    assert process.returncode == -9
    assert records.all_images(instance.store) == []
    assert files(instance) != []
    prune_images(instance, [])
    assert files(instance) == []
    assert pulled(instance, registry).is_new
    assert len(files(instance)) == 4


def test_what_was_loaded_is_compressed_when_it_is_pushed(
    instance: Instance, registry: FalseRegistry, tmp_path: Path
) -> None:
    layer = archive(("a", "1" * 100_000))
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}
    entry = {"Config": "config", "RepoTags": [f"{registry.host}/box:latest"], "Layers": ["layer"]}
    image = tmp_path / "image.tar"
    image.write_bytes(
        archive(("layer", layer.decode()), ("config", json.dumps(document)), ("manifest.json", json.dumps([entry])))
    )
    with image.open("rb") as file:
        (loaded,) = load(instance, file, "it")
    (plain,) = (instance.root / "blobs").iterdir()
    assert plain.read_bytes() == layer
    with Client(Config(), CredentialStore()) as client:
        reference = parse_reference(f"{registry.host}/box").tagged()
        first = push(instance, client, reference, Report())
        (packed,) = (instance.root / "blobs").iterdir()
        assert gzip.decompress(packed.read_bytes()) == layer
        assert push(instance, client, reference, Report()) == first
    remove_image(instance, loaded.id, force=True, prune=True)
    assert files(instance) == []
    assert pulled(instance, registry).id == loaded.id


def test_two_pulls_of_an_image_share_the_work(instance: Instance, registry: FalseRegistry) -> None:
    others = [gzip.compress(archive((f"f{number}", os.urandom(1 << 16).hex())), 1, mtime=0) for number in range(4)]
    add_image(registry, *others)
    add_image(registry, *reversed(others), tag="reversed")  # the same locks, in another order
    processes = [pulling(instance, registry, 1 << 40) for _ in range(3)]
    pulled(instance, registry, name="box:reversed")
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for layer in others:
        assert len(registry.asked(hashlib.sha256(layer).hexdigest(), "GET")) == 1
    assert len(_listed(instance.root / "layers")) == len(_listed(instance.root / "blobs")) == 4


def _false(content: bytes) -> Any:
    """A layer whose descriptor is right, and whose content is another one."""

    def change(registry: FalseRegistry) -> None:
        registry.blobs[f"sha256:{hashlib.sha256(BIG).hexdigest()}"] = content

    return change


OTHER = gzip.compress(archive(("big", os.urandom(1 << 20).hex())), 1, mtime=0)


@pytest.mark.parametrize(
    ("layer", "change", "says"),
    [
        (BIG, _false(OTHER[: len(BIG)].ljust(len(BIG), b"\0")), ""),
        (BIG, _false(BIG[:1000] + bytes(len(BIG) - 1000)), "cannot be read"),
        (BIG, _false(BIG[:-1]), "the registry has"),
        (gzip.compress(b"no archive" * 999, mtime=0), None, "it cannot be read"),
        (gzip.compress(archive(("../../outside", "1")), mtime=0), None, "outside"),
        (gzip.compress(archive(special("l", tarfile.LNKTYPE, "../../state.db")), mtime=0), None, "outside"),
    ],
)
def test_a_bad_layer_is_named_and_leaves_nothing(
    instance: Instance, registry: FalseRegistry, layer: bytes, change: Any, says: str
) -> None:
    add_image(registry, SMALL, layer)
    if change:
        change(registry)
    with pytest.raises(MinirunError) as raised:
        pulled(instance, registry)
    assert f"sha256:{hashlib.sha256(layer).hexdigest()}" in raised.value.message
    assert says in raised.value.message
    assert records.all_images(instance.store) == []
    assert _listed(instance.root / "layers") == []
    layers.remove_partial(instance)
    assert files(instance) == []
    if change:  # what was wrong is not taken for a good start by the next pull
        registry.blobs[f"sha256:{hashlib.sha256(layer).hexdigest()}"] = layer
        assert pulled(instance, registry).is_new


def test_an_image_with_other_layers_than_its_configuration_is_refused(
    instance: Instance, registry: FalseRegistry
) -> None:
    wrong = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    add_image(registry, SMALL, rootfs=wrong)
    with pytest.raises(MinirunError, match="the image's configuration says 0000"):
        pulled(instance, registry)
    add_image(registry, SMALL, SMALL, rootfs=wrong)
    with pytest.raises(MinirunError, match="differ in the number of layers"):
        pulled(instance, registry)
    two = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64, "sha256:" + "1" * 64]}
    add_image(registry, SMALL, SMALL, rootfs=two)
    with pytest.raises(MinirunError, match="two digests for the content of one layer"):
        pulled(instance, registry)
    add_image(registry, SMALL, config=[1])
    with pytest.raises(MinirunError, match="invalid image configuration"):
        pulled(instance, registry)


def test_no_room_is_one_sentence_and_what_came_is_kept(host: Host, tmp_path: Path) -> None:
    with debian_registry(tmp_path, host.popen) as registry:
        host.image(f"{registry}/big", "head -c 9000000 /dev/urandom > big")
        host.minirun("push", f"{registry}/big")
        host.sh("mkdir /run/small; mount -t tmpfs -o size=6m small /run/small")
        says = refused(host, "--root", "/run/small", "pull", f"{registry}/big")
        assert "No space left on device" in says
        assert host.sh("ls /run/small/layers") == ""
        assert host.minirun("--root", "/run/small", "images", "-q").stdout == ""


def test_push_and_pull_and_run_on_a_host(host: Host, tmp_path: Path) -> None:
    with debian_registry(tmp_path, host.popen) as registry:
        host.image("made", "echo made > made", "-c", 'CMD ["cat", "/made"]')
        host.minirun("tag", "made", f"{registry}/made:1")
        host.minirun("tag", "made", f"{registry}/other/made:2")
        said = host.minirun("push", f"{registry}/made:1").stdout
        assert f"The push refers to repository [{registry}/made]\n" in said
        digest = said.partition("1: digest: ")[2].split()[0]
        assert "Mounted from made" in host.minirun("push", f"{registry}/other/made:2").stdout
        again = host.minirun("push", f"{registry}/made:1").stdout
        assert "Layer already exists" in again
        assert digest in again
        identity = inspect(host, "made")["Id"]
        assert inspect(host, "made")["RepoDigests"] == [
            f"{registry}/{name}@{digest}" for name in ("made", "other/made")
        ]
        host.minirun("rmi", "-f", "made", f"{registry}/made:1", f"{registry}/other/made:2")
        # The last step of the article: what is not there is pulled and runs.
        done = run(host, f"{registry}/made:1")
        assert done.stdout == "made\n"
        assert done.stderr.startswith(f"Unable to find image '{registry}/made:1' locally\n1: Pulling from made\n")
        assert f"Status: Downloaded newer image for {registry}/made:1\n" in done.stderr
        assert (inspect(host, f"{registry}/made:1")["Id"], run(host, f"{registry}/made:1").stderr) == (identity, "")
        assert run(host, "--pull=always", f"{registry}/made:1").stderr.endswith(
            f"Status: Image is up to date for {registry}/made:1\n"
        )
        # A registry without a search tells what it has.
        assert host.minirun("search", "--format", "{{.Name}}", f"{registry}/made").stdout == "made\nother/made\n"
        # From one registry to another, and back: the same digests.
        assert digest in host.minirun("push", f"{registry}/made:1").stdout
        host.minirun("rmi", f"{registry}/made:1")
        name = f"{registry}/made@{digest}"
        assert host.minirun("pull", "-q", name).stdout == f"{name}\n"
        assert host.minirun("images", "--digests", "--format", "{{.Tag}} {{.Digest}}").stdout.splitlines()[0] == (
            f"<none> {digest}"
        )
        assert run(host, name).stdout == "made\n"
        assert host.minirun("image", "prune", "-f").stdout == "Total reclaimed space: 0B\n"  # it is not dangling
        assert f"Untagged: {name}\n" in host.minirun("rmi", name).stdout
        assert host.minirun("pull", "-a", f"{registry}/other/made").stdout.endswith(f"{registry}/other/made:2\n")
        for words, says in (
            (("pull", f"{registry}/nope"), f"manifest for {registry}/nope:latest not found"),
            (("pull", f"{registry}/made:7"), f"manifest for {registry}/made:7 not found"),
            (("pull", f"{registry}/made@sha256:{'0' * 64}"), "not found"),
            (("pull", "--platform", "linux/s390x/x/y", "made"), "invalid platform"),
            (("pull", "-a", "made:1"), "tag can't be used with --all-tags/-a"),
            (("push", "nope"), "An image does not exist locally with the tag: docker.io/library/nope"),
            (("push", "-a", "nope"), "An image does not exist locally with the tag: docker.io/library/nope"),
            (("push", name), "cannot push a digest reference"),
            (("run", "--pull=never", "nope"), "No such image: nope:latest"),
            (("run", "nope"), "Unable to find image 'nope:latest' locally"),
        ):
            assert says in refused(host, *words), words


def test_search(registry: FalseRegistry) -> None:
    """Against a registry on this machine's loopback: the command changes nothing."""
    found = [
        {"name": "box", "description": "x" * 50, "star_count": 3},
        {"name": "toolbox", "description": "tools", "star_count": 7, "is_official": True},
    ]
    results = json.dumps({"results": found}).encode()

    def search(*words: str) -> "subprocess.CompletedProcess[str]":
        registry.answers = [("/v1/search", 200, {}, results)]
        argv = [MINIRUN, "search", *words, f"{registry.host}/box"]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    plain = search("--limit", "7").stdout.splitlines()
    assert registry.asked("q=box&n=7")
    assert [line.split() for line in plain] == [
        ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"],
        ["toolbox", "tools", "7", "[OK]"],
        ["box", "x" * 44 + "…", "3"],
    ]
    assert "x" * 50 in search("--no-trunc").stdout
    assert search("--filter", "stars=4", "--format", "{{.Name}} {{.StarCount}}").stdout == "toolbox 7\n"
    assert search("-f", "is-official=false", "--format", "{{.Name}}").stdout == "box\n"
    assert search("-f", "is-automated=true").stdout.count("\n") == 1
    assert json.loads(search("-f", "is-official=1", "--format", "json").stdout)["IsOfficial"] == "true"
    for words, says in (
        (("--limit", "101"), "limit 101 is outside the range of [1, 100]"),
        (("-f", "stars=x"), "invalid filter 'stars=x'"),
        (("-f", "is-official=x"), "invalid filter 'is-official=x'"),
        (("-f", "name=x"), "invalid filter 'name'"),
    ):
        done = search(*words)
        assert (done.returncode, says in done.stderr) == (1, True), done.stderr
    results = b"no list"
    assert "is not a list of search results" in search().stderr
    registry.answers = []
    says = subprocess.run([MINIRUN, "search", f"{registry.host}/box"], capture_output=True, text=True, check=False)
    assert f"{registry.host} has no search: " in says.stderr


def test_a_short_name_comes_from_a_mirror_and_is_published(host: Host, tmp_path: Path) -> None:
    """The article's last step: run --name nginx -p 8080:80 nginx."""
    with debian_registry(tmp_path, host.popen) as registry:
        host.image("maker", "echo hello > var/www/index.html", "-c", 'CMD ["httpd", "-f", "-h", "/var/www"]')
        host.minirun("tag", "maker", f"{registry}/library/nginx")
        host.minirun("push", f"{registry}/library/nginx")
        host.minirun("rmi", "-f", "maker", f"{registry}/library/nginx")
        host.sh(f"""echo '{{"registry-mirrors": ["http://{registry}"]}}' > /run/config.json""")
        host.sh(f'export MINIRUN_CONFIG=/run/config.json; "{MINIRUN}" run -d --wait --name nginx -p 8080:80 nginx')
        assert host.sh("busybox wget -qO- http://127.0.0.1:8080/") == "hello\n"
        assert host.minirun("ps", "--format", "{{.Image}}").stdout == "nginx\n"
        assert inspect(host, "nginx")["RepoTags"] == ["nginx:latest"]


def test_the_registry_is_gone(host: Host) -> None:
    said = refused(host, "pull", "127.0.0.1:1/made")
    assert "connection refused" in said
    assert said.count("\n") <= 2
    assert host.run([MINIRUN, "run", "127.0.0.1:1/made"], check=False).returncode == 125
