"""Who listens in a network namespace, as `ss -ltun` shows it (sock_diag(7)).

The kernel is asked, so that neither a connection nor a program in the container is needed.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pyroute2 import DiagSocket
from pyroute2.netlink import NLMSG_ERROR, nlmsgerr
from pyroute2.netlink.diag import SS_CLOSE, SS_LISTEN

from minirun.kernel.netlink_sockets import PROTOCOLS, complete

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
# A UDP socket that is bound and not connected is in the state "close".
_STATES = {"tcp": 1 << SS_LISTEN, "udp": 1 << SS_CLOSE, "sctp": 1 << SS_LISTEN}


@dataclass(frozen=True)
class Listener:
    """A socket that accepts connections or datagrams."""

    protocol: str  # tcp, udp, sctp
    address: IPv4Address | IPv6Address
    port: int
    inode: int = 0
    only_ipv6: bool = False

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else self.address
        return f"{host}:{self.port}/{self.protocol}"

    def stands_in_the_way(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether no other socket can be bound to `address` and the same port."""
        if self.address.version != address.version:
            return self.address == IPv6Address(0) and not self.only_ipv6
        return self.address == address or self.address.is_unspecified or address.is_unspecified


class SocketTable:
    """The sockets of the network namespace that the caller is in when this is made, whichever it is in later."""

    def __init__(self) -> None:
        self._socket = DiagSocket()

    def close(self) -> None:
        """Close the netlink socket."""
        self._socket.close()

    def listeners(self, protocols: Iterable[str] = ("tcp", "udp")) -> list[Listener]:
        """All listeners of these protocols, of both address families."""
        return [
            listener
            for protocol in protocols
            for family in _FAMILIES
            for message in self._dump(protocol, family)
            if (listener := _listener(protocol, message)).port  # a UDP socket that was never bound has none
        ]

    def _dump(self, protocol: str, family: int) -> list[Any]:
        def dump() -> Iterable[Any]:
            return self._socket.get_sock_stats(  # type: ignore[no-any-return]
                family=family, states=_STATES[protocol], protocol=PROTOCOLS[protocol]
            )

        messages = complete(dump)
        for message in messages:  # pyroute2's DiagSocket does not recognize errors
            if message["header"]["type"] == NLMSG_ERROR:
                error = nlmsgerr(message.data, offset=message.offset)
                error.decode()
                raise OSError(-error["error"], "sock_diag")
        return messages


def _listener(protocol: str, message: Any) -> Listener:
    address = ip_address(message["idiag_src"])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    only_ipv6 = bool(message.get_attr("INET_DIAG_SKV6ONLY"))
    return Listener(protocol, mapped or address, message["idiag_sport"], message["idiag_inode"], only_ipv6)
