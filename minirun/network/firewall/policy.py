"""What a bridge network lets in and out: its options, in Docker's words, as facts that the rules are made of."""

from dataclasses import dataclass, field

from minirun.errors import MinirunError
from minirun.model import AnyAddress, Network

_BRIDGE = "com.docker.network.bridge."
ICC = f"{_BRIDGE}enable_icc"
MASQUERADE = f"{_BRIDGE}enable_ip_masquerade"
GATEWAY_MODE4 = f"{_BRIDGE}gateway_mode_ipv4"
GATEWAY_MODE6 = f"{_BRIDGE}gateway_mode_ipv6"
TRUSTED = f"{_BRIDGE}trusted_host_interfaces"
ANTISPOOF = "minirun.antispoof"
NAT, UNPROTECTED, ROUTED, ISOLATED = MODES = ("nat", "nat-unprotected", "routed", "isolated")
_ON = ("true", "1")


@dataclass(frozen=True, eq=False, repr=False)
class Policy:
    """The options of one network."""

    icc: bool = True
    masquerade: bool = True
    antispoof: bool = True
    trusted: tuple[str, ...] = ()  # interfaces from which published ports are reached by the container's own address
    modes: dict[int, str] = field(default_factory=dict)  # of each IP version that it has addresses of

    @classmethod
    def of(cls, network: Network) -> "Policy":
        found = dict(network.options)
        return cls(
            icc=found.get(ICC, "true") in _ON,
            masquerade=found.get(MASQUERADE, "true") in _ON,
            antispoof=found.get(ANTISPOOF, "true") in _ON,
            trusted=tuple(name for name in found.get(TRUSTED, "").split(":") if name),
            modes={
                version: found.get(key, NAT)
                for version, key, pool in ((4, GATEWAY_MODE4, network.pool), (6, GATEWAY_MODE6, network.pool6))
                if pool is not None
            },
        )

    def is_routed(self, address: AnyAddress) -> bool:
        return self.modes.get(address.version) == ROUTED

    def opens(self, address: AnyAddress) -> bool:
        """Whether what is published is reached by the container's own address, too."""
        return bool(self.trusted) or self.is_routed(address)

    def masquerades(self, version: int) -> bool:
        return self.masquerade and self.modes.get(version) in (NAT, UNPROTECTED)

    def is_closed(self, version: int) -> bool:
        """Whether nothing from outside is ever addressed to a container itself, replies included."""
        mode = self.modes.get(version)
        return mode == ISOLATED or (mode == NAT and self.masquerade and not self.trusted)


def check(network: Network) -> None:
    """What no option can be told by itself."""
    if ISOLATED in Policy.of(network).modes.values() and not network.internal:
        raise MinirunError(
            f"gateway mode 'isolated' can only be used for an internal network: {network.name} is not one",
            "give --internal, too",
        )
