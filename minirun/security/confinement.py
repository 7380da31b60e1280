"""What a program is confined by beside its capabilities: a filter of system calls, and a profile of AppArmor."""

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
    system_calls: bytes  # the program that filters them, b"" for none
    profile: str  # "" for none


def confinement_for(instance: Instance, security: Security) -> Confinement:
    return Confinement(filter_for(instance, security), profile_for(security))


def has_apparmor() -> bool:
    """Whether containers that ask for nothing else are confined by the default profile."""
    return apparmor.is_enabled() and (apparmor.can_load() or apparmor.is_loaded(DEFAULT))


def profile_for(security: Security) -> str:
    """The default one is loaded here, where it can be; one that was asked for by name has to be loaded already."""
    wanted = security.apparmor
    if wanted == UNCONFINED or (security.privileged and not wanted):
        return ""
    if not apparmor.is_enabled():
        if wanted:
            raise MinirunError(f"--security-opt apparmor={wanted}: AppArmor is not enabled on this host", code=FAILED)
        return ""
    if apparmor.is_loaded(wanted or DEFAULT):
        return wanted or DEFAULT
    if wanted:
        raise MinirunError(
            f"--security-opt apparmor={wanted}: no such profile is loaded", "apparmor_parser --replace FILE", FAILED
        )
    if not apparmor.can_load():
        return ""
    apparmor.profile_load(Path(__file__).with_name("apparmor.profile"))
    return DEFAULT
