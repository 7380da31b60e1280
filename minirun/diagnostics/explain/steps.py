"""The steps of a container's life: which operations belong to a step, why it is needed, where to read more, and which
of Docker's programs does it (docs/how-it-works.md tells the whole story).

Every primitive of the seam belongs to a step; `tests/integration/diagnostics/test_explain.py` checks that.
"""

from dataclasses import dataclass

from minirun.diagnostics.explain.recorder import Record


@dataclass(frozen=True)
class Step:
    """One step, as `--explain` shows it."""

    key: str
    title: str
    why: str
    pages: str  # manual pages, or files of the kernel's documentation
    docker: str  # the program that does it in Docker


STEPS = {
    step.key: step
    for step in (
        Step(
            "ports",
            "Reserve the host's ports",
            "A socket that drops all packets holds each published port, so that no other program can take it in the"
            " meantime.",
            "socket(7), bind(2)",
            "dockerd; docker-proxy holds the port",
        ),
        Step(
            "netns",
            "Create the network namespace",
            "The container gets its own interfaces, addresses, routes and rules. The namespace is pinned to a"
            " file in /run/netns, where ip(8) finds it. It exists until the pin is removed and no process is"
            " left in it.",
            "network_namespaces(7), ip-netns(8)",
            "dockerd (libnetwork), below /run/docker/netns",
        ),
        Step(
            "userns",
            "Create the user namespace",
            "Root in the container is an unprivileged id on the host. The user namespace owns the network"
            " namespace, and idmapped mounts translate the owners of files.",
            "user_namespaces(7), mount_setattr(2)",
            "runc; dockerd --userns-remap",
        ),
        Step(
            "cgroup",
            "Create the cgroup",
            "The kernel counts, limits, freezes and kills the container's processes by their cgroup.",
            "cgroups(7), cgroup-v2.rst",
            "runc, called by containerd-shim",
        ),
        Step(
            "process",
            "Start the first process in new namespaces",
            "One clone(2) creates a process that has its own mounts, process ids, host name and IPC objects. It"
            " is pid 1 there.",
            "clone(2), namespaces(7), pid_namespaces(7)",
            "runc create, below containerd-shim",
        ),
        Step(
            "rules",
            "Load the rules: masquerade, published ports, isolation",
            "One nftables table decides which published ports lead where, which source address containers use"
            " outside, and which packets are dropped.",
            "nft(8), netfilter.org",
            "dockerd (libnetwork), with iptables",
        ),
        Step(
            "forwarding",
            "Enable IP forwarding",
            "With IP forwarding off, the kernel drops packets that are not for the host itself, so containers"
            " cannot reach other hosts.",
            "ip-sysctl.rst, sysctl(8)",
            "dockerd",
        ),
        Step(
            "bridge",
            "Create the bridge: a switch in the kernel",
            "All containers of a network are attached to it. The host has an address on it, which is the"
            " containers' gateway.",
            "ip-link(8), bridge.rst",
            "dockerd (libnetwork), docker0",
        ),
        Step(
            "veth",
            "Connect the container to the bridge with a veth pair",
            "A veth pair is two connected interfaces: a packet sent into one comes out of the other. One end is"
            " eth0 in the container, the other is a port of the bridge.",
            "veth(4), ip-link(8)",
            "dockerd (libnetwork)",
        ),
        Step(
            "addresses",
            "Add the address and the default route",
            "The container now has an address on the network and a gateway for everything else.",
            "ip-address(8), ip-route(8)",
            "dockerd (libnetwork), in the sandbox",
        ),
        Step(
            "dns",
            "Start the DNS server",
            "One process on the host answers queries for the names of containers and forwards all other queries.",
            "resolv.conf(5)",
            "dockerd, at 127.0.0.11",
        ),
        Step(
            "join",
            "Enter the namespaces",
            "The process enters the container's namespaces.",
            "setns(2), nsenter(1)",
            "runc init; runc exec",
        ),
        Step(
            "root",
            "Mount the root file system: image layers below a writable one",
            "An overlay mount shows the image's layers as one tree and writes all changes to a directory of the"
            " container.",
            "overlayfs.rst, mount(8)",
            "containerd's snapshotter (overlay2)",
        ),
        Step(
            "kernel-files",
            "Mount /proc, /sys, /dev",
            "Programs talk to the kernel through these files. The container gets its own, which show its"
            " processes, its network and its terminals.",
            "proc(5), sysfs(5), devpts.rst, tmpfs(5)",
            "runc init",
        ),
        Step(
            "volumes",
            "Mount files from the host: /etc/hosts, volumes, devices",
            "A bind mount shows a file or directory of the host in the container. The target is opened first"
            " and mounted on by descriptor, so that a symlink in the image cannot redirect it.",
            "mount(8), open_tree(2), move_mount(2)",
            "runc init; dockerd writes hosts and resolv.conf",
        ),
        Step(
            "masks",
            "Hide the host's settings",
            "Some files in /proc and /sys describe or change the whole machine. They are hidden or made read- only.",
            "proc(5), mount_setattr(2)",
            "runc init, maskedPaths and readonlyPaths",
        ),
        Step(
            "pivot",
            "Change the root",
            "The old root is unmounted: no path leads back to the host's files.",
            "pivot_root(2)",
            "runc init",
        ),
        Step(
            "rights",
            "Drop privileges",
            "Drop, permanently, what the program must not do: capabilities, system calls, then the user id.",
            "capabilities(7), seccomp(2), credentials(7)",
            "runc init",
        ),
        Step(
            "program",
            "Execute the program",
            "execve(2) replaces the process image with the program. Its namespaces, cgroup, root and limits stay.",
            "execve(2), execveat(2)",
            "runc init, after runc start",
        ),
        Step(
            "signal",
            "Signals and pausing",
            "A signal goes to the container's first process. Pausing freezes the whole cgroup at once.",
            "signal(7), cgroup-v2.rst (freezer)",
            "containerd-shim, runc kill, runc pause",
        ),
        Step(
            "end",
            "Clean up",
            "Everything that was created is removed, using only the record. veths, addresses and routes need no"
            " cleanup: the kernel removes them with the namespace.",
            "network_namespaces(7), rmdir(2)",
            "containerd-shim and runc delete; dockerd for the network",
        ),
        Step(
            "foreign-firewall",
            "Add rules to other firewalls",
            "If another firewall drops forwarded packets, minirun adds its own marked rules there, so that the"
            " containers' packets pass.",
            "nft(8), iptables(8)",
            "dockerd: chain DOCKER-USER; firewalld's zone docker",
        ),
    )
}

# Name of a primitive -> key of its step.
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
        "veth": "veth_add pair_add link_move link_give bridge_port_add hairpin_on _plugin_run",
        "addresses": "address_add default_route_add default_route_replace link_route_add local_route_add",
        "dns": "spawn_away loopback_address_add",
        "join": "clone_into join_netns join_ipc_namespace join_pid_namespace join_namespaces join_all_but_mounts"
        " become_neighbour root_enter directory_enter",
        "root": "mounts_private overlay_mount overlay_view mounts_unshare directory_go",
        "kernel-files": "filesystem_mount",
        "volumes": "bind_mount tree_copy tree_copy_below tree_attributes tree_propagation tree_attach tree_of_process"
        " device_mount unmount",
        "masks": "mask_file mask_directory read_only_again mount_read_only mounts_read_only",
        "pivot": "pivot_root",
        "rights": "drop_capabilities become die_with_parent no_new_privileges seccomp_load profile_load",
        "program": "exec_payload",
        "signal": "signal_send",
        "end": "netns_del cgroup_del cgroup_kill remove_tree link_del process_kill remove_file remove_directory"
        " pins_directory_remove",
        "foreign-firewall": "_change",
    }.items()
    for name in names.split()
}
_IN_NETNS = "ip netns exec "


def step_of(record: Record) -> Step:
    """Return the step that an operation belongs to. Some primitives serve several steps: their target decides."""
    in_netns = record.command.startswith(_IN_NETNS)
    if record.name == "sysctl_write":
        return STEPS[_step_of_sysctl(record.command, in_netns)]
    if record.name == "link_up" and in_netns:
        return STEPS["addresses"]
    if record.name == "remove_tree" and "/volumes/" in record.command:
        return STEPS["volumes"]
    return STEPS[STEP_OF[record.name]]


def _step_of_sysctl(command: str, in_netns: bool) -> str:
    """net/ipv4/conf/veth0123/rp_filter belongs to the veth, net.ipv4.ip_forward to the host."""
    _, conf, interface = command.partition("/conf/")
    if not conf:
        return "netns" if in_netns else "forwarding"
    if in_netns:
        return "addresses"
    return "veth" if interface.startswith("veth") else "bridge"
