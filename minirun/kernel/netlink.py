"""A small rtnetlink client: pyroute2's message classes over a plain socket (rtnetlink(7), netlink(7)).

Why not IPRoute: `import pyroute2` runs an eager __init__ that brings asyncio and 300 modules, 100 ms at every
start; the message classes alone cost 20. So the package is entered past its __init__, by a bare module that only
knows where the files are. Done here and nowhere else; the pin in pyproject.toml is what this depends on.
"""

import importlib.machinery
import os
import socket
import struct
import sys
import types
from collections.abc import Iterator
from typing import Any

if "pyroute2" not in sys.modules:
    _spec = importlib.machinery.PathFinder.find_spec("pyroute2")
    if _spec is None or _spec.submodule_search_locations is None:
        raise ImportError("pyroute2 is not installed", name="pyroute2")
    _bare = types.ModuleType("pyroute2")
    _bare.__path__ = list(_spec.submodule_search_locations)
    sys.modules["pyroute2"] = _bare

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

__all__ = ["Netlink", "ifaddrmsg", "ifinfmsg", "rtmsg"]

# What pyroute2 does not know of bridges: the next two in linux/if_link.h. The second is struct br_boolopt_multi.
ifinfmsg.ifinfo.bridge_data.nla_map += (("IFLA_BR_VLAN_STATS_PER_PORT", "uint8"), ("IFLA_BR_MULTI_BOOLOPT", "cdata"))

NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_ROOT_MATCH = 0x300
NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE = 0x400, 0x200, 0x100
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSGERR_ATTR_MSG = 1
_HEADER = struct.Struct("=IHHII")


class Netlink:
    """One socket in the network namespace that the caller is in when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, message: Any, kind: int, flags: int = 0) -> None:
        """Send one change and wait for the kernel's answer; OSError carries errno and the kernel's own words."""
        self._send(message, kind, NLM_F_REQUEST | NLM_F_ACK | flags)
        for reply_kind, body in self._replies():
            if reply_kind == NLMSG_ERROR:
                _raise_for(body)
                return

    def dump(self, message: Any, kind: int) -> Iterator[Any]:
        """All objects of a kind, decoded into messages of the class of `message`."""
        self._send(message, kind, NLM_F_REQUEST | NLM_F_ROOT_MATCH)
        while True:
            for reply_kind, body in self._replies():
                if reply_kind == NLMSG_DONE:
                    return
                if reply_kind == NLMSG_ERROR:
                    _raise_for(body)
                    return
                item = type(message)(data=bytearray(_HEADER.pack(len(body) + 16, reply_kind, 0, 0, 0) + body))
                item.decode()
                yield item

    def _send(self, message: Any, kind: int, flags: int) -> None:
        self._sequence += 1
        message["header"].update(type=kind, flags=flags, sequence_number=self._sequence)
        message.encode()
        self._socket.send(bytes(message.data))

    def _replies(self) -> Iterator[tuple[int, bytes]]:
        data = self._socket.recv(1 << 17)
        offset = 0
        while offset + 16 <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
            if sequence == self._sequence:
                yield kind, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3


def _raise_for(body: bytes) -> None:
    """An error message of number 0 is the acknowledgement; another one may carry the kernel's text after it."""
    number = -struct.unpack_from("=i", body)[0]
    if number == 0:
        return
    offset = 4 + 16  # NETLINK_CAP_ACK: of the failed request only its header is echoed
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if kind & 0x3FFF == _NLMSGERR_ATTR_MSG:
            text = body[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
            raise OSError(number, f"{os.strerror(number)} ({text})")
        offset += max(4, (length + 3) & ~3)
    raise OSError(number, os.strerror(number))
