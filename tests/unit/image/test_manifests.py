"""Manifests and platforms: what is read, chosen and refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image import manifests
from minirun.image.manifests import ImageIndex, ImageManifest, Manifest, media_type_of, parse_manifest
from minirun.image.platforms import parse_platform, platform
from minirun.image.reference import digest_of
from tests.unit.image.refusals import answer

_SUM = "sha256:" + "0" * 64
_CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _SUM, "size": 1}
_LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": _SUM, "size": 2}


def read(data: Any, media_type: str = manifests.OCI_MANIFEST) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return parse_manifest(Manifest(media_type, digest_of(raw), raw), "box:latest")


def test_a_manifest_of_either_family() -> None:
    for media_type in manifests.MANIFESTS:
        found = read({"schemaVersion": 2, "config": _CONFIG, "layers": [_LAYER, _LAYER]}, media_type)
        assert isinstance(found, ImageManifest)
        assert [(layer.size, layer.compression) for layer in found.layers] == [(2, "zstd"), (2, "zstd")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        ({}, "schemaVersion is not 2"),
        ({"schemaVersion": 1}, "schemaVersion is not 2"),
        ({"schemaVersion": 2}, "a descriptor is not an object"),
        ({"schemaVersion": 2, "mediaType": manifests.DOCKER_LIST}, "mediaType is not the one"),
        ({"schemaVersion": 2, "config": _CONFIG, "layers": [_LAYER], "manifests": []}, "ambiguous"),
        ({"schemaVersion": 2, "config": _CONFIG}, "layers is not a list"),
        ({"schemaVersion": 2, "config": _CONFIG, "layers": [[]]}, "a descriptor is not an object"),
        (
            {"schemaVersion": 2, "config": {**_CONFIG, "size": True}, "layers": []},
            "lacks its mediaType, digest or size",
        ),
        ({"schemaVersion": 2, "config": {**_CONFIG, "size": -1}, "layers": []}, "lacks its mediaType, digest or size"),
        ({"schemaVersion": 2, "config": {**_CONFIG, "size": 1 << 63}, "layers": []}, "lacks its mediaType, digest or"),
        ({"schemaVersion": 2, "config": {**_CONFIG, "digest": "../x"}, "layers": []}, "invalid checksum digest format"),
        (
            {"schemaVersion": 2, "config": {**_CONFIG, "mediaType": "x/helm"}, "layers": []},
            "no container image but 'x/h",
        ),
        (
            {"schemaVersion": 2, "config": _CONFIG, "layers": [{**_LAYER, "mediaType": "x/y"}]},
            "unsupported layer media",
        ),
    ],
)
def test_a_malformed_manifest_is_refused(data: Any, says: str) -> None:
    found = answer(lambda: read(data))
    assert says in found
    assert "\n" not in found


def test_other_documents_are_refused_by_name() -> None:
    assert "box:latest has a manifest of version 2, schema 1" in answer(
        lambda: read(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws")
    )
    assert "unsupported manifest media type 'text/html'" in answer(lambda: read(b"{}", "text/html"))


@pytest.mark.parametrize(
    ("header", "data", "media_type"),
    [
        (f"{manifests.OCI_INDEX}; charset=utf-8", {}, manifests.OCI_INDEX),
        ("application/json", {"mediaType": manifests.DOCKER_MANIFEST}, manifests.DOCKER_MANIFEST),
        ("", {"manifests": []}, manifests.OCI_INDEX),
        ("text/plain", {"layers": []}, manifests.OCI_MANIFEST),
        ("application/json", {"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+json"),
    ],
)
def test_the_media_type_of_a_document(header: str, data: Any, media_type: str) -> None:
    assert media_type_of(header, json.dumps(data).encode()) == media_type


def entry(text: str, size: int, **more: Any) -> dict[str, Any]:
    words = dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))
    return {
        "mediaType": manifests.OCI_MANIFEST,
        "digest": _SUM,
        "size": size,
        **({"platform": words} if text else {}),
        **more,
    }


_INDEX = [
    entry("linux/arm/v5", 1),
    entry("linux/arm/v7", 2),
    entry("linux/arm64/v8", 3),
    entry("linux/amd64", 4),
    entry("linux/386", 5),
    entry("unknown/unknown", 6),
    entry("linux/s390x", 7, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    entry("windows/amd64", 8),
    entry("linux/amd64/v3", 9),
    entry("linux/arm/v6", 10),
]


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [
        ("linux/amd64", [4, 5]),
        ("x86_64", [4, 5]),
        ("linux/amd64/v4", [9, 4, 5]),
        ("linux/386", [5]),
        ("linux/arm64", [3, 2, 10, 1]),
        ("linux/arm/v8", [2, 10, 1]),
        ("linux/arm", [2, 10, 1]),
        ("armhf", [2, 10, 1]),
        ("linux/arm/v6", [10, 1]),
        ("windows/amd64", [8]),
        ("linux/s390x", []),
        ("linux/ppc64le", []),
    ],
)
def test_the_entries_for_a_platform_best_first(wanted: str, sizes: list[int]) -> None:
    index = read({"schemaVersion": 2, "manifests": _INDEX}, manifests.OCI_INDEX)
    assert isinstance(index, ImageIndex)
    assert [found.size for found in index.chosen(parse_platform(wanted))] == sizes


def test_an_entry_without_a_platform_is_the_last_resort() -> None:
    index = read({"schemaVersion": 2, "manifests": [entry("", 1), entry("linux/amd64", 2)]}, manifests.OCI_INDEX)
    assert [found.size for found in index.chosen(platform("linux", "amd64"))] == [2, 1]
    assert index.platforms == ["linux/amd64"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("Linux/ARM/7", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/", 'refused: "linux/": invalid platform'),
        ("", 'refused: "": invalid platform'),
        ("a/b/c/d", 'refused: "a/b/c/d": invalid platform'),
        ("pdp11", 'refused: "pdp11": unknown operating system or architecture'),
    ],
)
def test_the_text_of_a_platform(text: str, shown: str) -> None:
    assert str(answer(lambda: parse_platform(text))) == shown


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([_SUM, manifests.OCI_MANIFEST]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*_LAYER, "platform", "annotations", "os", "architecture"]), inner)
    ),
    max_leaves=15,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(
    st.fixed_dictionaries(
        {"schemaVersion": st.just(2)}, optional={"config": _JSON, "layers": _JSON, "manifests": _JSON}
    )
    | _JSON,
    st.sampled_from([manifests.OCI_MANIFEST, manifests.DOCKER_LIST]),
)
def test_any_document_is_read_or_refused(data: Any, media_type: str) -> None:
    with suppress(MinirunError):
        found = read(data, media_type)
        if isinstance(found, ImageIndex):
            found.chosen(platform("linux", "amd64"))
