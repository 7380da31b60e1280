"""Names of images: a table of cases, whose answers are those of Docker 28.2."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image.reference import parse, parse_reference
from tests.unit.image.refusals import answer

_SUM = "0123456789abcdef" * 4
_AT = f"@sha256:{_SUM}"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("index.docker.io/library/busybox:x", "busybox:x"),
        ("library/busybox", "busybox:latest"),
        ("docker.io/busybox", "busybox:latest"),
        ("docker.io/me/tool", "me/tool:latest"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ("registry.example/a", "registry.example/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("UP/case:Tag", "UP/case:Tag"),
        ("a__b/c-d--e.f", "a__b/c-d--e.f:latest"),
        ("docker.io", "docker.io:latest"),
        ("foo:5000", "foo:5000"),
        ("Busybox", "repository name (library/Busybox) must be lowercase"),
        ("a/B", "repository name (a/B) must be lowercase"),
        ("", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("../a", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("docker.io/", "invalid reference format"),
        ("r.-x/a", "invalid reference format"),
        ("http://x/y", "invalid reference format"),
        ("foo:bar/x", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("r.example/" + "a" * 255, "r.example/" + "a" * 255 + ":latest"),
        ("a" * 256, "must not be more than 255"),
        ("a" * 64, "cannot specify 64-byte hexadecimal"),
        (f"a{_AT}", "invalid reference format"),
    ],
)
def test_names_of_local_images(text: str, kept: str) -> None:
    found = answer(lambda: parse(text))
    assert kept in found if found.startswith("refused") else found == kept


@pytest.mark.parametrize(
    ("text", "canonical", "familiar", "target"),
    [
        ("nginx", "docker.io/library/nginx", "nginx", "latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27", "1.27"),
        (f"nginx{_AT}", f"docker.io/library/nginx{_AT}", f"nginx{_AT}", f"sha256:{_SUM}"),
        (f"me/x:1{_AT}", f"docker.io/me/x:1{_AT}", f"me/x:1{_AT}", f"sha256:{_SUM}"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b", "latest"),
        ("localhost/a", "localhost/a", "localhost/a", "latest"),
    ],
)
def test_names_of_images_in_registries(text: str, canonical: str, familiar: str, target: str) -> None:
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar, reference.target) == (canonical, familiar, target)
    assert parse_reference(canonical) == parse_reference(familiar) == reference


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a@", "invalid reference format"),
        ("a@sha256:123", "invalid reference format"),
        (f"a{_AT}{_AT}", "invalid reference format"),
        (f"a@sha256:{_SUM.upper()}", "invalid checksum digest format"),
        (f"a{_AT}00", "invalid checksum digest length"),
        (f"a@sha512:{_SUM}", "invalid checksum digest length"),
        (f"a@md5:{_SUM}", "unsupported digest algorithm"),
    ],
)
def test_digests_that_are_none(text: str, says: str) -> None:
    assert answer(lambda: parse_reference(text)) == f"refused: {says}"


_WORDS = st.text("aB0._-:/@[]\n", max_size=20) | st.sampled_from(
    ["docker.io/", "library/", _AT, "localhost:5000/", "ä"]
)


@given(st.lists(_WORDS, max_size=5).map("".join) | st.text(max_size=300))
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    with suppress(MinirunError):
        reference = parse_reference(text)
        assert parse_reference(reference.canonical) == reference
        assert parse_reference(reference.familiar) == reference
        assert bool(reference.tagged().tag) or bool(reference.digest)
