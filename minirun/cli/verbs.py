"""Every verb: how it is spelled, which class of which module it is, and its one line of help. Imports nothing, so
that finding a verb costs nothing, and `--help` no more."""

# spelling: (module:class below minirun.cli, one line)
VERBS: dict[str, tuple[str, str]] = {
    "run": ("run:Run", "Create and run a new container from an image"),
    "events": ("events:Events", "Get real time events from the installation"),
    "info": ("info:Info", "Display system-wide information"),
    "container prune": ("prune:PruneContainers", "Remove all stopped containers"),
    "network prune": ("prune:PruneNetworks", "Remove all unused networks"),
    "exec": ("execute:Exec", "Execute a command in a running container"),
    "ps": ("ps:Ps", "List containers"),
    "images": ("images:Images", "List images"),
    "version": ("version:Version", "Show the version information"),
    "attach": ("attach:Attach", "Attach local standard input, output, and error streams to a running container"),
    "capture": ("capture:Capture", "Show the packets of a container, a network or a published port"),
    "cp": ("cp:Cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("create:Create", "Create a new container"),
    "diff": ("diff:Diff", "Inspect changes to files or directories on a container's filesystem"),
    "explain": ("explain:Explain", "Show what a command would do to the kernel, step by step"),
    "doctor": ("doctor:Doctor", "Look for what is amiss: host, rules, leftovers, and each published port"),
    "export": ("export:Export", "Export a container's filesystem as a tar archive"),
    "build": ("registry:Build", "Build an image from a Dockerfile (not supported)"),
    "commit": ("commit:Commit", "Create a new image from a container's changes"),
    "history": ("history:History", "Show the history of an image"),
    "image prune": ("prune:PruneImages", "Remove unused images"),
    "import": ("importing:Import", "Import the contents from a tarball to create a filesystem image"),
    "pull": ("registry:Pull", "Download an image from a registry (not supported)"),
    "push": ("registry:Push", "Upload an image to a registry (not supported)"),
    "rmi": ("rmi:Rmi", "Remove one or more images"),
    "tag": ("tag:Tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "inspect": ("inspect:Inspect", "Return low-level information on objects"),
    "kill": ("kill:Kill", "Kill one or more running containers"),
    "logs": ("logs:Logs", "Fetch the logs of a container"),
    "map": ("map:Map", "Show what is wired to what: namespaces, cables, bridges, ports"),
    "pause": ("pause:Pause", "Pause all processes within one or more containers"),
    "port": ("port:Port", "List port mappings or a specific mapping for the container"),
    "rename": ("rename:Rename", "Rename a container"),
    "restart": ("restart:Restart", "Restart one or more containers"),
    "rm": ("rm:Rm", "Remove one or more containers"),
    "start": ("start:Start", "Start one or more stopped containers"),
    "stop": ("stop:Stop", "Stop one or more running containers"),
    "stats": ("stats:Stats", "Display a live stream of container(s) resource usage statistics"),
    "tour": ("tour:Tour", "Learn container networks, step by step, on a throwaway copy of this host"),
    "trace": ("trace:Trace", "Follow one packet: every interface, rule and translation, and why it is lost"),
    "top": ("top:Top", "Display the running processes of a container"),
    "completion": ("completion:Completion", "Print the script that completes commands in a shell"),
    "__complete": ("completion:Complete", "Answer the completion scripts"),
    "update": ("update:Update", "Update configuration of one or more containers"),
    "unpause": ("unpause:Unpause", "Unpause all processes within one or more containers"),
    "wait": ("wait:Wait", "Block until one or more containers stop, then print their exit codes"),
    "network connect": ("network_members:Connect", "Connect a container to a network"),
    "network disconnect": ("network_members:Disconnect", "Disconnect a container from a network"),
    "network create": ("network_create:Create", "Create a network"),
    "network inspect": ("network:Inspect", "Display detailed information on one or more networks"),
    "network ls": ("network:List", "List networks"),
    "network reload": ("network:Reload", "Mend what has been damaged of networks, rules and interfaces"),
    "network rm": ("network:Remove", "Remove one or more networks"),
    "netns connect": ("netns:Connect", "Lay a cable, a veth pair, between two network namespaces"),
    "netns create": ("netns:Create", "Create named network namespaces"),
    "netns exec": ("netns:Exec", "Run a program of the host in a network namespace"),
    "netns ls": ("netns:List", "List named network namespaces"),
    "netns rm": ("netns:Remove", "Remove network namespaces"),
    "volume create": ("volume:Create", "Create a volume"),
    "volume inspect": ("inspect:Inspect", "Display detailed information on one or more volumes"),
    "volume ls": ("volume:List", "List volumes"),
    "volume prune": ("volume:Prune", "Remove unused local volumes"),
    "volume rm": ("volume:Remove", "Remove one or more volumes"),
    "system df": ("system_df:SystemDf", "Show disk usage"),
    "system prune": ("system_prune:SystemPrune", "Remove unused data"),
    "system start": ("system_start:SystemStart", "Start the containers that should run, after a boot"),
}
COMMON = ("run", "exec", "ps", "images", "version")
FAMILIES = {
    "container": "Manage containers",
    "image": "Manage images",
    "netns": "Work with bare network namespaces, to learn or to try",
    "network": "Manage networks",
    "system": "Manage minirun",
    "volume": "Manage volumes",
}
# The long spellings of what has a short one, and other names.
_CONTAINER = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "pause", "port"),
    *("ps", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait"),
)
ALIASES = {
    **{f"container {verb}": verb for verb in _CONTAINER},
    "container ls": "ps",
    "container list": "ps",
    "image ls": "images",
    "image list": "images",
    "image rm": "rmi",
    "image remove": "rmi",
    "image import": "import",
    "image build": "build",
    "image history": "history",
    "image pull": "pull",
    "image push": "push",
    "image tag": "tag",
    "image inspect": "inspect",
    "system events": "events",
    "system info": "info",
    "network list": "network ls",
    "network remove": "network rm",
    "netns list": "netns ls",
    "netns add": "netns create",
    "netns del": "netns rm",
    "netns remove": "netns rm",
    "volume list": "volume ls",
    "volume remove": "volume rm",
}
GLOBAL_VALUES = ("--root",)  # flags before the verb that take a value


def split(words: list[str]) -> tuple[list[str], str, list[str]]:
    """(flags before the verb, the verb as it was typed, what follows it). The verb may be unknown, or missing."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in GLOBAL_VALUES else 1
    spelling = words[at : at + 2] if at < len(words) and words[at] in FAMILIES else words[at : at + 1]
    return words[:at], " ".join(spelling), words[at + len(spelling) :]


def is_shown(name: str) -> bool:
    """Whether help lists it, and a shell offers it."""
    return not name.startswith("__")


def canonical(spelling: str) -> str:
    return ALIASES.get(spelling, spelling)
