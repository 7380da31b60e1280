"""What forbids a lab, by what clone(2) and the host's settings say."""

import errno
import os
from pathlib import Path

import pytest

from minirun.lab import obstacles


@pytest.mark.parametrize(
    ("number", "settings", "reason", "remedy"),
    [
        (errno.ENOSPC, {}, "user.max_user_namespaces is ?", "sysctl -w user.max_user_namespaces=10000"),
        (errno.EPERM, {"user/max_user_namespaces": "0"}, "user.max_user_namespaces is 0", "sudo sysctl"),
        (errno.EPERM, {"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone is 0", "=1"),
        (errno.EPERM, {"kernel/apparmor_restrict_unprivileged_userns": "1"}, "_userns is 1", "apparmor.minirun"),
        (errno.EUSERS, {}, "there are 32 levels of them already", "leave"),
        (errno.EINVAL, {}, "Invalid argument", "kernel"),
        (errno.EPERM, {"user/max_user_namespaces": "9"}, "Operation not permitted", "seccomp"),
    ],
)
def test_a_reason_and_a_remedy(
    number: int, settings: dict[str, str], reason: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in settings.items():
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_text(value + "\n")
    monkeypatch.setattr(obstacles, "_SYSCTLS", tmp_path)
    monkeypatch.setattr(obstacles, "_is_root_a_mount", lambda: True)
    error = obstacles.no_namespaces(OSError(number, os.strerror(number)))
    assert error.message.startswith("this host allows no user namespaces: ")
    assert reason in error.message
    assert remedy in error.hint
    assert error.code == 125


def test_a_chroot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(obstacles, "_SYSCTLS", tmp_path)
    monkeypatch.setattr(obstacles, "_is_root_a_mount", lambda: False)
    assert "in a chroot" in obstacles.no_namespaces(PermissionError(errno.EPERM, "no")).message


def test_rights_that_apparmor_takes_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ubuntu's restriction lets the namespace be made, and mount(2) in it fail."""
    monkeypatch.setattr(obstacles, "_SYSCTLS", tmp_path)
    assert "parts of /proc" in obstacles.not_settled("Permission denied").hint
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    assert "AppArmor" in obstacles.not_settled("Permission denied").message
