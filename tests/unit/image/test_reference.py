"""Names of images: a table of cases."""

import pytest

from minirun.image.reference import parse
from tests.unit.image.refusals import answer


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("index.docker.io/library/busybox:x", "busybox:x"),
        ("library/busybox", "busybox:latest"),
        ("docker.io/me/tool", "me/tool:latest"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ("registry.example/a", "registry.example/a:latest"),
        ("a__b/c-d--e.f", "a__b/c-d--e.f:latest"),
        ("Busybox", "repository name (library/Busybox) must be lowercase"),
        ("a/B", "repository name (a/B) must be lowercase"),
        ("", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("../a", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("a" * 256, "must not be more than 255"),
        ("a" * 64, "cannot specify 64-byte hexadecimal"),
        ("a@sha256:" + "0" * 64, "invalid reference format"),
    ],
)
def test_references(text: str, kept: str) -> None:
    found = answer(lambda: parse(text))
    assert kept in found if found.startswith("refused") else found == kept
