"""What a container must not see, reach or keep: black-box, each fails when its defence is taken out."""

import json
import os

import pytest

from tests.harness import Host

DEFAULT_CAPS = "00000000a80425fb"


def sh(host: Host, script: str, *words: str) -> str:
    return str(host.minirun("run", "--rm", "--net=none", *words, "busybox", "sh", "-c", script).stdout)


def test_capabilities_all_five_sets_and_of_exec_too(primed: Host) -> None:
    bounding = int(primed.sh("grep CapBnd /proc/self/status").split()[1], 16)
    expected = f"{int(DEFAULT_CAPS, 16) & bounding:016x}"
    wanted = {"CapInh": "0" * 16, "CapPrm": expected, "CapEff": expected, "CapBnd": expected, "CapAmb": "0" * 16}
    text = sh(primed, "grep Cap /proc/self/status")
    assert dict(line.split(":\t") for line in text.split("\n") if line) == wanted
    primed.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "100")
    text = primed.minirun("exec", "web", "grep", "Cap", "/proc/self/status").stdout
    assert dict(line.split(":\t") for line in text.split("\n") if line) == wanted
    text = sh(primed, "grep Cap /proc/self/status", "-u", "1000:1000")
    assert dict(line.split(":\t") for line in text.split("\n") if line) == {
        **wanted,
        "CapPrm": "0" * 16,
        "CapEff": "0" * 16,
    }


def test_no_descriptor_and_no_variable_leaks(primed: Host) -> None:
    script = "ls /proc/self/fd | tr '\\n' ' '; env | sort | tr '\\n' ' '"
    with open("/etc/hostname") as leak:
        os.set_inheritable(leak.fileno(), True)
        words = ["run", "--rm", "--net=none", "--hostname", "box", "busybox", "sh", "-c", script]
        seen = primed.minirun(*words, close_fds=False, env={**os.environ, "SECRET": "1", "PYTHONPATH": "/x"}).stdout
    assert seen.startswith("0 1 2 3 HOME=/root HOSTNAME=box PATH=")  # 3 is the listing's own
    assert "SECRET" not in seen
    assert "PYTHON" not in seen


def test_namespaces_are_its_own(primed: Host) -> None:
    names = "mnt pid uts ipc net cgroup"
    inside = sh(primed, f"for n in {names}; do readlink /proc/self/ns/$n; done").split()
    outside = primed.sh(f"for n in {names}; do readlink /proc/self/ns/$n; done").split()
    assert len(inside) == 6
    assert not set(inside) & set(outside)
    assert sh(primed, "cat /proc/self/cgroup | grep ^0::").strip() in ("0::/", "")


def test_signals_umask_and_session_are_fresh(primed: Host) -> None:
    script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; umask; cut -d' ' -f 5-7 /proc/1/stat"
    seen = sh(primed, script).split()
    assert seen[:5] == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16, "0022"]


MASKED = (
    "acpi asound cmdline config.gz iomem kcore keys latency_stats timer_list sched_debug scsi interrupts slabinfo"
    " vmallocinfo"
)


def test_masks_and_read_only_paths(primed: Host) -> None:
    for name in MASKED.split():
        assert sh(primed, f"cat /proc/{name} 2>/dev/null; ls -A /proc/{name}/ 2>/dev/null; true") == "", name
    assert sh(primed, "ls -A /sys/firmware") == ""
    for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/x", "/sys/x", "/sys/fs/cgroup/x"):
        assert "done" not in sh(primed, f"(echo x > {path}) 2>/dev/null && echo done; true"), path


def test_devices_can_be_made_but_never_opened(primed: Host) -> None:
    """CAP_MKNOD is there, as under Docker; every mount is nodev, so the node opens nothing.

    The device is /dev/zero's: a disk's, or /dev/mem's, would be refused for other reasons, too.
    """
    for where in ("/", "/dev", "/dev/shm", "/tmp", "/data"):
        script = f"mknod {where}/mem c 1 5 && head -c 1 {where}/mem >/dev/null 2>&1 && echo opened; true"
        assert sh(primed, script, "-v", "/run:/data") == "", where
        primed.sh("rm -f /run/mem")
    script = (
        "for d in null zero full random urandom tty; do stat -c '%n %t:%T' /dev/$d; done; echo x > /dev/null; ls /dev"
    )
    seen = sh(primed, script)
    assert "/dev/null 1:3" in seen
    assert "/dev/urandom 1:9" in seen
    assert "sda" not in seen
    assert "console" not in seen


def test_exec_gains_no_privileges_either(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--security-opt=no-new-privileges", "busybox", "sleep", "1000")
    assert primed.minirun("exec", "web", "grep", "NoNewPrivs", "/proc/self/status").stdout == "NoNewPrivs:\t1\n"


def test_mounts(primed: Host) -> None:
    lines = [line.split() for line in sh(primed, "cat /proc/self/mountinfo").splitlines()]
    options = {line[4]: line[5].split(",") for line in lines}
    for path in ("/proc", "/sys", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev", "noexec"} <= set(options[path]), path
    assert {"nosuid", "noexec", "nodev"} <= set(options["/dev"])
    assert "nodev" in options["/"]
    assert all("shared:" not in field and "master:" not in field for line in lines for field in line)
    assert "/var/lib/minirun" not in sh(primed, "cat /proc/self/mountinfo | grep overlay")


@pytest.mark.parametrize("name", ["proc", "sys", "dev", "etc"])
def test_an_image_whose_top_directories_are_symlinks(primed: Host, name: str) -> None:
    primed.image("hostile", f"rm -rf {name} && ln -s /tmp/escape {name}")
    words = ["run", "--rm", "--net=none", "hostile", "sh", "-c", "ls -d /proc/1 /dev/null /etc/hosts /sys/kernel"]
    assert primed.minirun(*words).stdout.split() == ["/dev/null", "/etc/hosts", "/proc/1", "/sys/kernel"]
    assert primed.sh("ls -A /tmp/escape 2>/dev/null", check=False) == ""


def test_a_volume_on_a_symlink_stays_inside(primed: Host) -> None:
    primed.image("hostile", "ln -s /run/outside data && ln -s ../../../../../run/outside up")
    primed.sh("mkdir /run/outside /run/volume; echo v > /run/volume/v")
    for target in ("/data/x", "/up/y"):
        words = ["run", "--rm", "--net=none", "-v", f"/run/volume:{target}", "hostile", "cat", f"{target}/v"]
        assert primed.minirun(*words).stdout == "v\n"
    assert primed.sh("ls -A /run/outside") == ""


def test_proc_self_exe_as_the_entrypoint_is_no_host_binary(primed: Host) -> None:
    """CVE-2019-5736: "#!/proc/self/exe" makes the kernel run whatever ran us; that is a sealed memfd."""
    script = "printf '#!/proc/self/exe\\n' > /run/entry; chmod +x /run/entry"
    primed.sh(script)
    done = primed.minirun("run", "--rm", "--net=none", "-v", "/run/entry:/entry", "busybox", "/entry", check=False)
    assert "Python" not in done.stdout + done.stderr
    assert "python" not in done.stdout + done.stderr


def test_passwd_is_a_fifo_or_huge(primed: Host) -> None:
    for make in ("mkfifo", "truncate -s 3000000"):
        primed.image("odd", f"rm etc/passwd && {make} etc/passwd")
        done = primed.minirun("run", "--rm", "--net=none", "-u", "root", "odd", "true", check=False, timeout=10)
        assert done.returncode == 125


def test_state_is_private(primed: Host) -> None:
    primed.minirun("run", "--name", "said", "-e", "SECRET=1", "busybox", "echo", "secret")
    identity = json.loads(primed.minirun("inspect", "said").stdout)[0]["Id"]
    assert primed.sh("stat -c %a /var/lib/minirun").strip() == "700"
    assert primed.sh(f"stat -c %a /var/lib/minirun/containers/{identity}/log").strip() == "600"
    primed.minirun("run", "-d", "--name", "web", "--restart", "always", "busybox", "sleep", "1000")
    primed.minirun("network", "create", "net")
    primed.minirun("run", "-d", "--name", "named", "--net", "net", "busybox", "sleep", "1000")
    top = "find /var/lib/minirun -maxdepth 2 -not -path '*/layers/*' -printf '%m %y %P\n'; "
    sockets = "find /var/lib/minirun /run -type s -printf '%m %y %p\n'"
    modes = [line.split(" ", 2) for line in primed.sh(top + sockets).splitlines()]
    assert {kind for _, kind, _ in modes} == {"d", "f", "s"}
    for mode, kind, path in modes:
        assert mode == ("700" if kind == "d" else "600"), (mode, kind, path)
    # Whoever is in a container sees nothing of it, and nobody else on the host gets as far.
    assert primed.minirun("exec", "web", "find", "/", "-xdev", "-type", "s").stdout == ""
    assert "Permission denied" in primed.sh(
        "setpriv --reuid=65534 --clear-groups ls /var/lib/minirun 2>&1", check=False
    )


def test_ipv6_is_off_where_the_network_has_none(primed: Host) -> None:
    assert sh(primed, "cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || echo 1").strip() == "1"
    switch = "/proc/sys/net/ipv6/conf/minirun0/disable_ipv6"
    assert primed.sh(f"cat {switch} 2>/dev/null || echo 1").strip() == "1"


def test_an_unprivileged_user_may_use_low_ports_and_stdout(primed: Host) -> None:
    assert sh(primed, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "0"
    assert sh(primed, "echo ok > /dev/stdout; id -u", "-u", "1000") == "ok\n1000\n"
    assert primed.sh("stat -c %U:%a /dev/null").strip() == "root:666"
