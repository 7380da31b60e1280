"""The kernel's primitives as parts of steps: which step an operation belongs to, and whether the story needs it.

Every primitive of the seam belongs to a step; `tests/unit/diagnostics/test_explain_steps.py` checks that.
"""

import re

from minirun.diagnostics.explain import rule_changes
from minirun.diagnostics.explain.recorder import Record
from minirun.diagnostics.explain.steps import STEPS, Step

# Name of a primitive -> key of its step.
STEP_OF = {
    name: key
    for key, names in {
        "ports": "port_hold",
        "netns": "netns_add network_unshare netns_attach netns_share loopback_up",
        "userns": "netns_add_mapped netns_add_beside userns_join fsids_set tree_idmap tree_of_root root_take",
        "lab": "lab_clone single_id_map lab_group_give lab_group_settle",
        "cgroup": "go_on_in_group cgroup_add cgroup_settle cgroup_enter controllers_on setting_write member_add"
        " self_add devices_allow scope_add oom_score_set rlimit_set",
        "process": "clone_container clone_with_mounts clone_sibling unshare_cgroup domainname_set",
        "rules": "_apply_line _apply_text elements_add _held_add flow_del",
        "withdraw": "elements_del",
        "fault": "netem_replace tbf_replace qdisc_del connection_kill",
        "forwarding": "sysctl_write",
        "bridge": "bridge_add link_up",
        "macvlan": "macvlan_add",
        "pair": "pair_add link_move link_give",
        "veth": "veth_add bridge_port_add hairpin_on _plugin_run",
        "addresses": "address_add default_route_add default_route_replace link_route_add local_route_add",
        "dns": "spawn_away loopback_address_add link_address_write",
        "join": "go_on_in join_netns join_ipc_namespace join_pid_namespace join_namespaces join_all_but_mounts"
        " join_cgroup_namespace become_neighbour root_enter directory_enter",
        "root": "mounts_private overlay_mount overlay_view mounts_unshare directory_go",
        "kernel-files": "filesystem_mount",
        "volumes": "bind_mount tree_copy tree_copy_below tree_attributes tree_propagation tree_attach tree_of_process"
        " device_mount unmount",
        "masks": "mask_file mask_directory read_only_again mount_read_only mounts_read_only",
        "pivot": "pivot_root",
        "rights": "drop_capabilities become die_with_parent no_new_privileges seccomp_load profile_load",
        "program": "exec_payload",
        "signal": "signal_send",
        "layer": "move_content",
        "end": "netns_del cgroup_del cgroup_kill remove_tree link_del process_kill remove_file remove_directory"
        " pins_directory_remove",
        "foreign-firewall": "_change",
    }.items()
    for name in names.split()
}
ENDING = frozenset(
    {"elements_del", "signal_send", "netns_del", "cgroup_del", "cgroup_kill", "remove_tree", "link_del", "unmount"}
    | {"process_kill", "remove_file", "remove_directory", "pins_directory_remove"}
)
# Neither of a start nor of an end: they are part of what goes on.
EITHER = frozenset(
    {"_apply_line", "_apply_text", "_held_add", "flow_del", "sysctl_write", "_change"}
    | {"netem_replace", "tbf_replace", "qdisc_del", "connection_kill"}
)

# What the short form leaves out: the title of its step says it, or it protects, or it prepares.
_DETAILS = {
    *("loopback_up", "hairpin_on", "link_address_write", "loopback_address_add", "flow_del", "_held_add"),
    *("cgroup_settle", "cgroup_enter", "controllers_on", "member_add", "self_add", "devices_allow", "unshare_cgroup"),
    *("oom_score_set", "rlimit_set", "die_with_parent", "profile_load", "seccomp_load"),
    *("fsids_set", "tree_idmap", "tree_of_root", "userns_join", "filesystem_mount", "mounts_private", "mounts_unshare"),
    *("tree_copy", "tree_copy_below", "tree_attributes", "tree_propagation", "tree_attach", "tree_of_process"),
    *("mask_file", "mask_directory", "read_only_again", "mounts_read_only"),
}
_OWN_BIND = re.compile(r" /dev/\S+ \S+$|[ /]containers/[0-9a-f]{64}/\S+ \S+$")
# Of `a && b`, which one does the work; the other prepares or labels.
_WORKING_PART = {"bind_mount": -1, "bridge_add": 0, "veth_add": 0}
_SETTINGS = re.compile(
    r",(redirect_dir=off|userxattr),metacopy=off,index=off| --inh-caps=-all --ambient-caps=-all|  # in cgroup \S+$"
)
_TEMPORARY = "/.minirun-"  # a directory while it is filled
_FREEZER = re.compile(r"/(cgroup\.freeze|freezer\.state)$")
_IN_NETNS = "ip netns exec "
_OF_DNS = re.compile(r"\bmrd-[0-9a-f]{10}\b|\bminirun-(?:[0-9a-f]{8}-)?dns\b")


def step_of(record: Record) -> Step:
    """Return the step that an operation belongs to. Some primitives serve several steps: their target decides."""
    return STEPS[_key_of(record)]


def _key_of(record: Record) -> str:
    in_netns = record.command.startswith(_IN_NETNS)
    if _OF_DNS.search(record.command):
        return "dns"
    if record.name in ("_apply_line", "_apply_text") and not rule_changes.is_own(record.command):
        return "foreign-firewall"
    if record.name == "sysctl_write":
        return _step_of_sysctl(record.command, in_netns)
    if record.name == "link_up" and in_netns:
        return "addresses"
    if record.name == "address_add" and not in_netns:
        return "bridge"
    if record.name == "setting_write" and _FREEZER.search(record.command):
        return "pause"
    if record.name == "remove_tree" and "/volumes/" in record.command:
        return "volumes"
    return STEP_OF[record.name]


def _step_of_sysctl(command: str, in_netns: bool) -> str:
    """net/ipv4/conf/veth0123/rp_filter belongs to the veth, net.ipv4.ip_forward to the host."""
    _, conf, interface = command.partition("/conf/")
    if not conf:
        return "netns" if in_netns else "forwarding"
    if in_netns:
        return "addresses"
    return "veth" if interface.startswith("veth") else "bridge"


def is_detail(record: Record) -> bool:
    """Whether the short form leaves the operation out: it prepares, protects or labels."""
    if record.name == "sysctl_write":
        return _key_of(record) != "forwarding"
    if record.name == "bind_mount":
        return bool(_OWN_BIND.search(record.command))
    return record.name in _DETAILS or _TEMPORARY in record.command


def short_command(record: Record) -> str:
    """Return the operation's command without what prepares or labels."""
    part = _WORKING_PART.get(record.name)
    command = record.command if part is None else record.command.split(" && ")[part]
    return _SETTINGS.sub("", command)
