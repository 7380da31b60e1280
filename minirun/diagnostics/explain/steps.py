"""The steps of a container's life: why each is needed, where to read more, and which of Docker's programs does it
(docs/how-it-works.md tells the whole story). primitives.py says which operations belong to a step.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step, as `--explain` shows it."""

    key: str
    title: str
    gist: str  # why, in a few words
    why: str
    pages: str  # manual pages, or files of the kernel's documentation
    docker: str  # the program that does it in Docker


STEPS = {
    step.key: step
    for step in (
        Step(
            "ports",
            "Reserve the host's ports",
            "no other program can take them meanwhile",
            "A socket that drops all packets holds each published port, so that no other program can take it in the"
            " meantime.",
            "socket(7), bind(2)",
            "dockerd; docker-proxy holds the port",
        ),
        Step(
            "netns",
            "Create the network namespace",
            "interfaces, addresses, routes and rules of its own",
            "The container gets its own interfaces, addresses, routes and rules. The namespace is pinned to a"
            " file in /run/netns, where ip(8) finds it. It exists until the pin is removed and no process is"
            " left in it.",
            "network_namespaces(7), ip-netns(8)",
            "dockerd (libnetwork), below /run/docker/netns",
        ),
        Step(
            "userns",
            "Create the user namespace",
            "root in the container is an unprivileged id on the host",
            "Root in the container is an unprivileged id on the host. The user namespace owns the network"
            " namespace, and idmapped mounts translate the owners of files.",
            "user_namespaces(7), mount_setattr(2)",
            "runc; dockerd --userns-remap",
        ),
        Step(
            "lab",
            "Create the lab",
            "namespaces in which an ordinary user is root",
            "One clone(2) creates a user namespace in which the user is root, and all others below it: what is done"
            " there is not seen on the host.",
            "user_namespaces(7)",
            "dockerd-rootless.sh, with rootlesskit",
        ),
        Step(
            "cgroup",
            "Create the cgroup",
            "the kernel counts, limits and kills processes by it",
            "The kernel counts, limits, freezes and kills the container's processes by their cgroup.",
            "cgroups(7), cgroup-v2.rst",
            "runc, called by containerd-shim",
        ),
        Step(
            "process",
            "Start the first process in new namespaces",
            "it is pid 1 there",
            "One clone(2) creates a process that has its own mounts, process ids, host name and IPC objects. It"
            " is pid 1 there.",
            "clone(2), namespaces(7), pid_namespaces(7)",
            "runc create, below containerd-shim",
        ),
        Step(
            "rules",
            "Load the rules",
            "what is masqueraded, published, isolated",
            "One nftables table decides which published ports lead where, which source address containers use"
            " outside, and which packets are dropped.",
            "nft(8), netfilter.org",
            "dockerd (libnetwork), with iptables",
        ),
        Step(
            "forwarding",
            "Enable IP forwarding",
            "packets may cross this host",
            "With IP forwarding off, the kernel drops packets that are not for the host itself, so containers"
            " cannot reach other hosts.",
            "ip-sysctl.rst, sysctl(8)",
            "dockerd",
        ),
        Step(
            "bridge",
            "Create the bridge",
            "a switch in the kernel; its address is the containers' gateway",
            "All containers of a network are attached to it. The host has an address on it, which is the"
            " containers' gateway.",
            "ip-link(8), bridge.rst",
            "dockerd (libnetwork), docker0",
        ),
        Step(
            "veth",
            "Connect the container to the bridge with a veth pair",
            "what enters one end comes out of the other",
            "A veth pair is two connected interfaces: a packet sent into one comes out of the other. One end is"
            " eth0 in the container, the other is a port of the bridge.",
            "veth(4), ip-link(8)",
            "dockerd (libnetwork)",
        ),
        Step(
            "pair",
            "Make a veth pair",
            "what enters one end comes out of the other",
            "A veth pair is two connected interfaces: a packet sent into one comes out of the other. Each end is moved"
            " into a namespace.",
            "veth(4), ip-link(8)",
            "dockerd (libnetwork)",
        ),
        Step(
            "macvlan",
            "Create a macvlan interface",
            "the LAN sees the container as a machine of its own",
            "A macvlan interface has a MAC address of its own on the host's link: frames go to the LAN and not through"
            " the host's routing.",
            "ip-link(8)",
            "dockerd (libnetwork)",
        ),
        Step(
            "addresses",
            "Add addresses and routes",
            "its own network is reached directly, everything else by the gateway",
            "The container now has an address on the network and a gateway for everything else.",
            "ip-address(8), ip-route(8)",
            "dockerd (libnetwork), in the sandbox",
        ),
        Step(
            "dns",
            "Start the DNS server",
            "it answers the names of containers",
            "One process on the host answers queries for the names of containers and forwards all other queries.",
            "resolv.conf(5)",
            "dockerd, at 127.0.0.11",
        ),
        Step(
            "join",
            "Enter the namespaces",
            "from here on, the process sees what the container sees",
            "The process enters the container's namespaces.",
            "setns(2), nsenter(1)",
            "runc init; runc exec",
        ),
        Step(
            "root",
            "Mount the root file system",
            "image layers below, a writable one on top",
            "An overlay mount shows the image's layers as one tree and writes all changes to a directory of the"
            " container.",
            "overlayfs.rst, mount(8)",
            "containerd's snapshotter (overlay2)",
        ),
        Step(
            "kernel-files",
            "Mount /proc, /sys, /dev",
            "the container's own view of its kernel",
            "Programs talk to the kernel through these files. The container gets its own, which show its"
            " processes, its network and its terminals.",
            "proc(5), sysfs(5), devpts.rst, tmpfs(5)",
            "runc init",
        ),
        Step(
            "volumes",
            "Mount files from the host",
            "/etc/hosts, volumes, devices",
            "A bind mount shows a file or directory of the host in the container. The target is opened first"
            " and mounted on by descriptor, so that a symlink in the image cannot redirect it.",
            "mount(8), open_tree(2), move_mount(2)",
            "runc init; dockerd writes hosts and resolv.conf",
        ),
        Step(
            "masks",
            "Hide the host's settings",
            "files of /proc and /sys that change the whole machine",
            "Some files in /proc and /sys describe or change the whole machine. They are hidden or made read-only.",
            "proc(5), mount_setattr(2)",
            "runc init, maskedPaths and readonlyPaths",
        ),
        Step(
            "pivot",
            "Change the root",
            "no path leads back to the host's files",
            "The old root is unmounted: no path leads back to the host's files.",
            "pivot_root(2)",
            "runc init",
        ),
        Step(
            "rights",
            "Drop privileges",
            "capabilities, system calls, then the user id",
            "Drop, permanently, what the program must not do: capabilities, system calls, then the user id.",
            "capabilities(7), seccomp(2), credentials(7)",
            "runc init",
        ),
        Step(
            "program",
            "Execute the program",
            "namespaces, cgroup, root and limits stay",
            "execve(2) replaces the process image with the program. Its namespaces, cgroup, root and limits stay.",
            "execve(2), execveat(2)",
            "runc init, after runc start",
        ),
        Step(
            "signal",
            "Signal the container",
            "its first process gets it",
            "A signal goes to the container's first process. When that ends, the kernel kills the others.",
            "signal(7), pidfd_send_signal(2)",
            "containerd-shim, runc kill",
        ),
        Step(
            "pause",
            "Freeze or thaw the cgroup",
            "all its processes at once, and they do not notice",
            "Pausing freezes the whole cgroup: none of its processes is scheduled until it is thawed.",
            "cgroup-v2.rst (freezer)",
            "containerd-shim, runc pause",
        ),
        Step(
            "withdraw",
            "Remove its rules",
            "addresses and ports that are free again",
            "The elements of the container leave the nftables maps and sets; the rules that look them up stay.",
            "nft(8)",
            "dockerd (libnetwork), with iptables",
        ),
        Step(
            "fault",
            "Disturb the cable",
            "a test sees what its program does on a bad network",
            "Queueing disciplines on both ends of the veth pair delay and limit what passes. Both ends of a connection"
            " that is ended get a reset.",
            "tc-netem(8), tc-tbf(8), sock_diag(7)",
            "none; pumba and toxiproxy do it from outside",
        ),
        Step(
            "layer",
            "Make a layer of what was written",
            "the writable layer of the step becomes a directory of its own, below the next step",
            "A layer is a directory with what one step has added and changed; a file that it has deleted is a device"
            " node 0/0 there (a whiteout). Its digest is that of the tar archive that it is packed to. Nothing is"
            " copied: the files move within the file system.",
            "rename(2); Documentation/filesystems/overlayfs.rst; OCI image specification, layer.md",
            "BuildKit, with containerd's overlayfs snapshotter",
        ),
        Step(
            "end",
            "Clean up",
            "the kernel removes veth, addresses and routes with the namespace",
            "Everything that was created is removed, using only the record. veths, addresses and routes need no"
            " cleanup: the kernel removes them with the namespace.",
            "network_namespaces(7), rmdir(2)",
            "containerd-shim and runc delete; dockerd for the network",
        ),
        Step(
            "foreign-firewall",
            "Add rules to other firewalls",
            "they would drop the containers' packets",
            "If another firewall drops forwarded packets, minirun adds its own marked rules there, so that the"
            " containers' packets pass.",
            "nft(8), iptables(8)",
            "dockerd: chain DOCKER-USER; firewalld's zone docker",
        ),
    )
}
