"""A container's confinement besides its capabilities: a seccomp filter and an AppArmor profile."""

from dataclasses import dataclass
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel import apparmor
from minirun.model import UNCONFINED, Security
from minirun.security.seccomp_cache import filter_for

DEFAULT = "minirun-default"


@dataclass(frozen=True)
class Confinement:
    """What confines a container's processes."""

    system_calls: bytes  # the seccomp filter, a BPF program; b"" for none
    profile: str  # the name of the AppArmor profile; "" for none


def confinement_for(instance: Instance, security: Security) -> Confinement:
    """Return the confinement of a container with these settings. Loads the default AppArmor profile if needed."""
    return Confinement(filter_for(instance, security), profile_for(security))


def has_apparmor() -> bool:
    """Return whether containers are confined by the default AppArmor profile unless another is requested."""
    return apparmor.is_enabled() and (apparmor.can_load() or apparmor.is_loaded(DEFAULT))


def loaded_default() -> str:
    """Return the name of the default AppArmor profile if the kernel holds it, else ""."""
    return DEFAULT if apparmor.is_enabled() and apparmor.is_loaded(DEFAULT) else ""


def profile_for(security: Security) -> str:
    """Return the name of the AppArmor profile, "" for none.

    The default profile is loaded if necessary and possible. MinirunError if a profile that was requested by name is not
    loaded, or AppArmor is not enabled.
    """
    requested = security.apparmor
    if requested == UNCONFINED or (security.privileged and not requested):
        return ""
    if not apparmor.is_enabled():
        if requested:
            raise MinirunError(
                f"--security-opt apparmor={requested}: AppArmor is not enabled on this host", code=FAILED
            )
        return ""
    if apparmor.is_loaded(requested or DEFAULT):
        return requested or DEFAULT
    if requested:
        raise MinirunError(
            f"--security-opt apparmor={requested}: no such profile is loaded", "apparmor_parser --replace FILE", FAILED
        )
    if not apparmor.can_load():
        return ""
    apparmor.profile_load(Path(__file__).with_name("apparmor.profile"))
    return DEFAULT
