"""The capabilities by name, in the order of their numbers (capabilities(7)), and which of them a container has."""

NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)
# What Docker leaves to a container's root, a80425fb. CAP_MKNOD is harmless here: every mount is nodev.
DEFAULT = (
    *("chown", "dac_override", "fsetid", "fowner", "mknod", "net_raw", "setgid", "setuid", "setfcap", "setpcap"),
    *("net_bind_service", "sys_chroot", "kill", "audit_write"),
)


def granted(add: tuple[str, ...], drop: tuple[str, ...], privileged: bool) -> tuple[str, ...]:
    """As Docker combines --cap-add and --cap-drop, where "all" may stand in either."""
    if privileged:
        return NAMES
    if "all" in add:
        return tuple(name for name in NAMES if name not in drop)
    if "all" in drop:
        return tuple(name for name in NAMES if name in add)
    return tuple(name for name in NAMES if (name in DEFAULT and name not in drop) or name in add)
