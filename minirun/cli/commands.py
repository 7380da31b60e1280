"""Every command: how it is spelled and which module has it. The module is imported when the command is typed."""

# spelling: module below minirun.cli, or the whole name of one in a room above it. Its typer application has a command
# of the spelling's last word.
COMMANDS: dict[str, str] = {
    "run": "container.run",
    "exec": "container.exec",
    "ps": "container.ps",
    "images": "image.images",
    "version": "system.info",
    "attach": "container.attach",
    "build": "image.build",
    "capture": "packets",
    "commit": "container.files",
    "completion": "completion.shells",
    "cp": "container.files",
    "create": "container.run",
    "diff": "container.files",
    "doctor": "diagnose",
    "events": "system.events",
    "explain": "learn",
    "export": "container.files",
    "help": "learn",
    "history": "image.images",
    "import": "image.tags",
    "info": "system.info",
    "inspect": "inspect",
    "kill": "container.lifecycle",
    "lab": "lab",
    "load": "image.archives",
    "login": "registry",
    "logout": "registry",
    "logs": "container.logs",
    "map": "diagnose",
    "pause": "container.lifecycle",
    "port": "container.port",
    "pull": "image.pull",
    "push": "image.pull",
    "rename": "container.lifecycle",
    "restart": "container.start",
    "rm": "container.lifecycle",
    "rmi": "image.tags",
    "save": "image.archives",
    "search": "image.search",
    "start": "container.start",
    "stats": "container.stats",
    "stop": "container.lifecycle",
    "tag": "image.tags",
    "top": "container.stats",
    "tour": "learn",
    "trace": "packets",
    "unpause": "container.lifecycle",
    "update": "container.update",
    "wait": "container.wait",
    "builder du": "image.builder",
    "builder prune": "image.builder",
    "container prune": "container.lifecycle",
    "fault bandwidth": "fault.verbs",
    "fault blackhole": "fault.verbs",
    "fault delay": "fault.verbs",
    "fault dns": "fault.verbs",
    "fault loss": "fault.verbs",
    "fault ls": "fault.records",
    "fault partition": "fault.verbs",
    "fault reset": "fault.verbs",
    "fault rm": "fault.records",
    "image prune": "image.tags",
    "netns connect": "netns",
    "netns create": "netns",
    "netns exec": "netns",
    "netns ls": "netns",
    "netns rm": "netns",
    "network connect": "network.members",
    "network create": "network.networks",
    "network disconnect": "network.members",
    "network inspect": "network.networks",
    "network ls": "network.networks",
    "network prune": "network.networks",
    "network reload": "network.networks",
    "network rm": "network.networks",
    "system df": "system.df",
    "system prune": "system.prune",
    "system reset": "system.reset",
    "system start": "system.start",
    "system dial-stdio": "minirun.api.command",
    "system service": "minirun.api.command",
    "system stop-server": "system.server",
    "system throwaway-host": "system.throwaway",
    "volume create": "volume",
    "volume inspect": "inspect",
    "volume ls": "volume",
    "volume prune": "volume",
    "volume rm": "volume",
}
COMMON = ("run", "exec", "ps", "images", "version")
GROUPS = {
    "builder": "Manage builds",
    "buildx": "The same by the name of Docker's plugin",
    "container": "Manage containers",
    "fault": "Break networks on purpose, and heal them",
    "image": "Manage images",
    "netns": "Work with bare network namespaces, to learn or to try",
    "network": "Manage networks",
    "system": "Manage minirun",
    "volume": "Manage volumes",
}
# Long spellings of what has a short one, and other names.
_CONTAINER = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "pause", "port"),
    *("ps", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait"),
)
ALIASES = {
    **{f"container {verb}": verb for verb in _CONTAINER},
    "container ls": "ps",
    "container list": "ps",
    "image ls": "images",
    "image build": "build",
    "builder build": "build",
    "buildx build": "build",
    "buildx du": "builder du",
    "buildx prune": "builder prune",
    "image list": "images",
    "image rm": "rmi",
    "image remove": "rmi",
    "image import": "import",
    "image load": "load",
    "image pull": "pull",
    "image push": "push",
    "image save": "save",
    "image history": "history",
    "image tag": "tag",
    "image inspect": "inspect",
    "system events": "events",
    "system info": "info",
    "network list": "network ls",
    "network remove": "network rm",
    "fault list": "fault ls",
    "fault remove": "fault rm",
    "fault heal": "fault rm",
    "netns list": "netns ls",
    "netns add": "netns create",
    "netns del": "netns rm",
    "netns remove": "netns rm",
    "volume list": "volume ls",
    "volume remove": "volume rm",
}
_UNLISTED = ("list", "remove", "ps")  # other names of what a group lists already

_NO_SWARM = "minirun runs containers on one host, without swarm mode"
# Docker's commands that minirun does not have: (why, what to do instead).
ABSENT: dict[str, tuple[str, str]] = {
    "manifest": ("minirun does not make manifests by hand", "`minirun push` writes that of an image"),
    "trust": ("minirun does not sign images", ""),
    "compose": (
        "minirun does not read compose files",
        "`minirun network create` and `minirun run --network` do it container by container",
    ),
    "context": ("minirun always works on this host", "`--root` chooses among several state roots"),
    "checkpoint": ("minirun does not checkpoint containers", "`minirun pause` stops their processes for a while"),
    "plugin": ("minirun has no plugin store", "network drivers are Python packages; see docs/networking.md"),
    **dict.fromkeys(("swarm", "stack", "service", "node", "secret", "config"), (_NO_SWARM, "")),
}
_NO_CLOCK = (
    "time namespaces of Linux shift the monotonic clock and the one since boot, and not the time of day, which is what"
    " programs mean by time; and a running process cannot enter one"
)
ABSENT |= {"fault clock": (_NO_CLOCK, "give the program a time that it reads elsewhere, or run it with libfaketime")}
ABSENT |= {
    "fault pause": ("it is a command of its own", "minirun pause CONTAINER, minirun unpause CONTAINER"),
}
ABSENT |= {"container checkpoint": ABSENT["checkpoint"]}


def canonical(spelling: str) -> str:
    """The spelling in COMMANDS of what may be an alias."""
    return ALIASES.get(spelling, spelling)


def spellings(name: str) -> list[str]:
    """All spellings of a command, sorted."""
    return sorted({name, *(alias for alias, target in ALIASES.items() if target == name)})


def members(group: str) -> list[str]:
    """What follows `minirun GROUP`, as help and completion list it; of minirun itself with group ""."""
    if not group:
        return [*(name for name in COMMANDS if " " not in name), *GROUPS]
    names = (name.split() for name in (*COMMANDS, *ALIASES))
    return [words[1] for words in names if words[0] == group and len(words) > 1 and words[1] not in _UNLISTED]
