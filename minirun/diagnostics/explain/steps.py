"""The steps of a container's life: which operation belongs to which, why it is taken, where to read on, and which of
Docker's programs takes it there (docs/how-it-works.md has the same story as a whole).

Every primitive of the seam has its place here; `tests/integration/diagnostics/test_explain.py` holds that.
"""

from dataclasses import dataclass

from minirun.diagnostics.explain.recorder import Record


@dataclass(frozen=True)
class Step:
    key: str
    title: str
    why: str
    pages: str  # of the manual, or the kernel's documentation
    docker: str  # who does it there


STEPS = {
    step.key: step
    for step in (
        Step(
            "ports",
            "Hold the host's ports",
            "A socket that answers nothing keeps each published port, so that no other program can take it meanwhile.",
            "socket(7), bind(2)",
            "dockerd; docker-proxy holds the port",
        ),
        Step(
            "netns",
            "A network stack of its own",
            "The container gets interfaces, addresses, routes and rules that are nobody else's. It is pinned to a file"
            " below /run/netns, where ip(8) finds it, and lives until that pin and all processes in it are gone.",
            "network_namespaces(7), ip-netns(8)",
            "dockerd (libnetwork), below /run/docker/netns",
        ),
        Step(
            "userns",
            "Users of its own",
            "Root inside is an id outside that owns nothing. The namespace belongs to the network namespace's maker,"
            " and mounts translate the ids of files.",
            "user_namespaces(7), mount_setattr(2)",
            "runc; dockerd --userns-remap",
        ),
        Step(
            "cgroup",
            "A group for its processes",
            "The kernel counts, limits, freezes and kills the container's processes by the group that they are in.",
            "cgroups(7), cgroup-v2.rst",
            "runc, as containerd-shim asks it to",
        ),
        Step(
            "process",
            "The first process, in new namespaces",
            "One clone(2) makes a process that sees its own mounts, processes, host name and IPC objects, and is pid 1"
            " of them.",
            "clone(2), namespaces(7), pid_namespaces(7)",
            "runc create, below containerd-shim",
        ),
        Step(
            "rules",
            "Rules: masquerade, published ports, isolation",
            "One nftables table says what comes in by a port, under whose address containers go out, and what is"
            " dropped.",
            "nft(8), netfilter.org",
            "dockerd (libnetwork), by iptables",
        ),
        Step(
            "forwarding",
            "Let the host forward",
            "Without it the kernel drops what is not for the host itself, and no container reaches the outside.",
            "ip-sysctl.rst, sysctl(8)",
            "dockerd",
        ),
        Step(
            "bridge",
            "The bridge: a switch in the kernel",
            "All containers of a network are plugged into it, and the host has its own address there: their gateway.",
            "ip-link(8), bridge.rst",
            "dockerd (libnetwork), docker0",
        ),
        Step(
            "cable",
            "A cable from the container to the bridge",
            "A veth pair is two interfaces; what goes into one comes out of the other. One end is eth0 inside, the"
            " other a port of the bridge.",
            "veth(4), ip-link(8)",
            "dockerd (libnetwork)",
        ),
        Step(
            "addresses",
            "Address and default route",
            "From here on the container has a place on the network, and knows whom to give what is for elsewhere.",
            "ip-address(8), ip-route(8)",
            "dockerd (libnetwork), within the sandbox",
        ),
        Step(
            "names",
            "Names",
            "One process on the host answers for the names of containers in a network, and asks others for the rest.",
            "resolv.conf(5)",
            "dockerd, at 127.0.0.11",
        ),
        Step(
            "join",
            "Into the namespaces",
            "The process goes where the container is, or is to be.",
            "setns(2), nsenter(1)",
            "runc init; runc exec",
        ),
        Step(
            "root",
            "Its own files: layers under a writable one",
            "An overlay shows the image's layers as one tree and keeps all changes in a directory of the container's.",
            "overlayfs.rst, mount(8)",
            "containerd's snapshotter (overlay2)",
        ),
        Step(
            "kernel-files",
            "/proc, /sys, /dev",
            "Programs ask the kernel by files. These are the container's own: its processes, its network, its"
            " terminals.",
            "proc(5), sysfs(5), devpts.rst, tmpfs(5)",
            "runc init",
        ),
        Step(
            "volumes",
            "Files from outside: /etc/hosts, volumes, devices",
            "A bind mount shows a file or directory of the host inside. It is put onto the place by descriptor, so that"
            " no symlink of the image leads it astray.",
            "mount(8), open_tree(2), move_mount(2)",
            "runc init; dockerd writes hosts and resolv.conf",
        ),
        Step(
            "masks",
            "Cover what is the host's",
            "Some files of /proc and /sys tell of the whole machine, or change it. They are hidden, or made read-only.",
            "proc(5), mount_setattr(2)",
            "runc init, maskedPaths and readonlyPaths",
        ),
        Step(
            "pivot",
            "Make it the root",
            "The old root is let go of: no path leads back to the host's files.",
            "pivot_root(2)",
            "runc init",
        ),
        Step(
            "rights",
            "Give up rights",
            "What the program shall not do is taken away for good: capabilities, system calls, then the user.",
            "capabilities(7), seccomp(2), credentials(7)",
            "runc init",
        ),
        Step(
            "program",
            "Become the program",
            "execve(2) replaces the process by the program; its namespaces, group, root and rights stay.",
            "execve(2), execveat(2)",
            "runc init, after runc start",
        ),
        Step(
            "signal",
            "Signals, and standing still",
            "A signal to the container's first process; to pause, the whole group stops at once.",
            "signal(7), cgroup-v2.rst (freezer)",
            "containerd-shim, runc kill, runc pause",
        ),
        Step(
            "end",
            "Take everything back",
            "Each thing that was made is removed from the record alone. Cables, addresses and routes need nobody: the"
            " kernel takes them with the namespace.",
            "network_namespaces(7), rmdir(2)",
            "containerd-shim and runc delete; dockerd for the network",
        ),
        Step(
            "others",
            "A place in others' rules",
            "Where another firewall drops what it does not know, marked rules of minirun's let containers pass.",
            "nft(8), iptables(8)",
            "dockerd: chain DOCKER-USER; firewalld's zone docker",
        ),
    )
}

# By the names of the primitives.
STEP_OF = {
    name: key
    for key, names in {
        "ports": "port_hold",
        "netns": "netns_add network_unshare netns_attach netns_share loopback_up",
        "userns": "netns_add_mapped netns_add_beside userns_join fsids_set tree_idmap tree_of_root root_take",
        "cgroup": "fork_into cgroup_add cgroup_settle cgroup_enter controllers_on setting_write member_add self_add"
        " devices_allow scope_add oom_score_set rlimit_set",
        "process": "clone_container clone_sibling unshare_cgroup",
        "rules": "_apply_line _apply_text elements_add elements_del _held_add flow_del",
        "forwarding": "sysctl_write",
        "bridge": "bridge_add link_up link_address_write macvlan_add",
        "cable": "veth_add pair_add link_move link_give bridge_port_add hairpin_on _plugin_run",
        "addresses": "address_add default_route_add default_route_replace link_route_add",
        "names": "spawn_away loopback_address_add",
        "join": "clone_into join_netns join_ipc_namespace join_pid_namespace join_namespaces join_all_but_mounts"
        " root_enter directory_enter",
        "root": "mounts_private overlay_mount overlay_view mounts_unshare directory_go",
        "kernel-files": "filesystem_mount",
        "volumes": "bind_mount tree_copy tree_copy_below tree_attributes tree_propagation tree_attach tree_of_process",
        "masks": "mask_file mask_directory read_only_again mount_read_only mounts_read_only",
        "pivot": "pivot_root",
        "rights": "drop_capabilities become die_with_parent no_new_privileges seccomp_load profile_load",
        "program": "exec_payload",
        "signal": "signal_send",
        "end": "netns_del cgroup_del cgroup_kill remove_tree link_del",
        "others": "_change",
    }.items()
    for name in names.split()
}
_WITHIN = "ip netns exec "


def step_of(record: Record) -> Step:
    """Some operations serve several ends: then what they are done to tells."""
    within = record.command.startswith(_WITHIN)
    if record.name == "sysctl_write":
        return STEPS[_step_of_sysctl(record.command, within)]
    if record.name == "link_up" and within:
        return STEPS["addresses"]
    if record.name == "remove_tree" and "/volumes/" in record.command:
        return STEPS["volumes"]
    return STEPS[STEP_OF[record.name]]


def _step_of_sysctl(command: str, within: bool) -> str:
    """net/ipv4/conf/veth0123/rp_filter is the cable's, net.ipv4.ip_forward the host's."""
    _, conf, interface = command.partition("/conf/")
    if not conf:
        return "netns" if within else "forwarding"
    if within:
        return "addresses"
    return "cable" if interface.startswith("veth") else "bridge"
