"""AppArmor: profiles that the kernel holds, and that confine a process from its next execve on (apparmor(7)).

The stub (csrc/stub.c) chooses the profile at the very end: before, the first process does what a container's profile
forbids.
"""

from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel.programs import program_path, program_run
from minirun.kernel.seam import shell

_PARSER = "apparmor_parser"
_SECONDS = 60.0
_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_LOADED = Path("/sys/kernel/security/apparmor/profiles")


def is_enabled() -> bool:
    """Return whether the kernel confines by AppArmor, and its profiles can be listed."""
    try:
        return _ENABLED.read_text().strip() == "Y" and _LOADED.exists()
    except OSError:
        return False


def is_loaded(profile: str) -> bool:
    """Return whether the kernel holds a profile of this name."""
    return any(line.rpartition(" ")[0] == profile for line in _LOADED.read_text().splitlines())


def can_load() -> bool:
    """Return whether the host has apparmor_parser(8)."""
    return program_path(_PARSER) is not None


@shell("apparmor_parser --replace --skip-cache {file}")
def profile_load(file: Path) -> None:
    """Load the profile in `file`, or replace it. Raises MinirunError when the parser refuses it."""
    parser = program_path(_PARSER)
    done = program_run(parser or _PARSER, ["--replace", "--skip-cache"], file.read_bytes(), seconds=_SECONDS)
    if done.code != 0:
        reason = done.err.strip() or f"it ended with {done.code}"
        raise MinirunError(f"{_PARSER} cannot load {file.name}: {reason}", f"{_PARSER} --replace {file}", FAILED)
