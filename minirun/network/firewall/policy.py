"""The policy of a bridge network: its options under Docker's names, as the facts that the rules are made of.

Options: https://docs.docker.com/engine/network/drivers/bridge/#options and "Packet filtering and firewalls" there.
"""

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
_TRUE = ("true", "1")


@dataclass(frozen=True, eq=False, repr=False)
class Policy:
    """The options of one network.

    icc: containers of the network may communicate with each other
    masquerade: outgoing packets take the host's address
    antispoof: containers may send only from their own addresses
    trusted: host interfaces from which published ports are reachable by the container's own address
    modes: the gateway mode of each IP version (4, 6) that the network has addresses of
    """

    icc: bool = True
    masquerade: bool = True
    antispoof: bool = True
    trusted: tuple[str, ...] = ()
    modes: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, network: Network) -> "Policy":
        """Read the network's options; missing ones have Docker's defaults."""
        options = dict(network.options)
        return cls(
            icc=options.get(ICC, "true") in _TRUE,
            masquerade=options.get(MASQUERADE, "true") in _TRUE,
            antispoof=options.get(ANTISPOOF, "true") in _TRUE,
            trusted=tuple(name for name in options.get(TRUSTED, "").split(":") if name),
            modes={
                version: options.get(key, NAT)
                for version, key, pool in ((4, GATEWAY_MODE4, network.pool), (6, GATEWAY_MODE6, network.pool6))
                if pool is not None
            },
        )

    def is_routed(self, address: AnyAddress) -> bool:
        """Return whether the address is reached by routing, without DNAT."""
        return self.modes.get(address.version) == ROUTED

    def opens(self, address: AnyAddress) -> bool:
        """Return whether published ports are also reachable by the container's own address."""
        return bool(self.trusted) or self.is_routed(address)

    def masquerades(self, version: int) -> bool:
        """Return whether outgoing packets of this IP version take the host's address."""
        return self.masquerade and self.modes.get(version) in (NAT, UNPROTECTED)

    def is_closed(self, version: int) -> bool:
        """Return whether outside hosts never address a container directly, not even in replies."""
        mode = self.modes.get(version)
        return mode == ISOLATED or (mode == NAT and self.masquerade and not self.trusted)


def check(network: Network) -> None:
    """Validate combinations of options; raise MinirunError for an invalid one."""
    if ISOLATED in Policy.of(network).modes.values() and not network.internal:
        raise MinirunError(
            f"gateway mode 'isolated' can only be used for an internal network: {network.name} is not internal",
            "add --internal",
        )
