"""Sockets from the C module below `socket`, without the enumerations that it makes of 300 constants, and `selectors`.

A constant here is the plain number.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import (
        AF_INET,
        AF_INET6,
        AF_NETLINK,
        AF_PACKET,
        AF_UNIX,
        AF_UNSPEC,
        CMSG_LEN,
        IPPROTO_IP,
        IPPROTO_IPV6,
        IPPROTO_TCP,
        IPPROTO_UDP,
        IPV6_V6ONLY,
        MSG_CMSG_CLOEXEC,
        MSG_DONTWAIT,
        MSG_TRUNC,
        NETLINK_ROUTE,
        SCM_RIGHTS,
        SHUT_WR,
        SO_ERROR,
        SO_RCVBUF,
        SO_REUSEADDR,
        SOCK_CLOEXEC,
        SOCK_DGRAM,
        SOCK_NONBLOCK,
        SOCK_RAW,
        SOCK_STREAM,
        SOL_SOCKET,
        gethostname,
        htons,
        if_indextoname,
        if_nametoindex,
        inet_aton,
        inet_pton,
        sethostname,
        socket,
        socketpair,
    )

__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_NETLINK",
    "AF_PACKET",
    "AF_UNIX",
    "AF_UNSPEC",
    "CMSG_LEN",
    "IPPROTO_IP",
    "IPPROTO_IPV6",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "IPV6_V6ONLY",
    "MSG_CMSG_CLOEXEC",
    "MSG_DONTWAIT",
    "MSG_TRUNC",
    "NETLINK_ROUTE",
    "SCM_RIGHTS",
    "SHUT_WR",
    "SOCK_CLOEXEC",
    "SOCK_DGRAM",
    "SOCK_NONBLOCK",
    "SOCK_RAW",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_ERROR",
    "SO_RCVBUF",
    "SO_REUSEADDR",
    "gethostname",
    "htons",
    "if_indextoname",
    "if_nametoindex",
    "inet_aton",
    "inet_pton",
    "sethostname",
    "socket",
    "socketpair",
]

if not TYPE_CHECKING:
    import _socket

    globals().update({name: getattr(_socket, name) for name in __all__ if name not in ("socket", "socketpair")})

    class socket(_socket.socket):  # noqa: N801 - as it is called there
        """What socket.socket adds to its base, in as far as it is used: `with`, accept, and one fit to print."""

        __slots__ = ()

        def __enter__(self) -> "socket":
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def __repr__(self) -> str:
            return f"<socket of descriptor {self.fileno()}>"

        def accept(self) -> "tuple[socket, object]":
            fd, address = self._accept()
            return socket(self.family, self.type, self.proto, fileno=fd), address

    def socketpair() -> tuple[socket, socket]:
        """Of AF_UNIX, a stream."""
        one, other = _socket.socketpair()
        return socket(fileno=one.detach()), socket(fileno=other.detach())
