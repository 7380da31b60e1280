"""--chmod changes modes as chmod(1) does."""

import stat
import subprocess
from pathlib import Path

import pytest

from minirun.image.dockerfile.file_mode import parse_mode

SYMBOLIC = ["u=rwX,go=rX", "a+x", "go-rwx", "u+s", "g=u", "o=g,u-w", "ug=rw,o=", "+t", "a=r", "u=rwxs", "a-x+X", "g-s"]
SYMBOLIC += ["u+x,g=u-w", "=", "u-s+x", "ug+s,o-rwx", "u=g=o"]


@pytest.mark.parametrize("is_directory", [False, True])
def test_it_does_what_chmod_does(tmp_path: Path, is_directory: bool) -> None:
    path = tmp_path / "x"
    path.mkdir() if is_directory else path.touch()
    for mode in (0o644, 0o600, 0o755, 0o6711):
        for text in SYMBOLIC:
            path.chmod(mode)
            subprocess.run(["chmod", text, str(path)], check=True)
            expected = stat.S_IMODE(path.stat().st_mode)
            assert oct(parse_mode(text).apply(mode, is_directory)) == oct(expected), (oct(mode), text)
    assert parse_mode("0755").apply(0o6600, False) == 0o755
    assert parse_mode("7777").apply(0, False) == 0o7777
