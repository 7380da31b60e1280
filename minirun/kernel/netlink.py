"""Requests by netlink(7), encoded and sent here: what each start changes, and the few questions that each command asks.

A request takes 0.05 ms. By pyroute2, whose sockets run an asyncio loop, it takes 1.5 ms in a process that has just been
forked, and the first one 3 ms more; so pyroute2 has what is rarer and has much to decode (pyroute2_sockets.py).
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from minirun.kernel import netlink_sockets

NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
NLM_F_DUMP = 0x300
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
Value: TypeAlias = "bytes | str | int | Sequence[Attribute]"
Attribute: TypeAlias = tuple[int, Value]

_NLM_F_DUMP_INTR, _NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x10, 0x100, 0x200  # of a dump's answer, and of an error's
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLA_F_NESTED, _NLA_TYPE_MASK = 1 << 15, (1 << 14) - 1
_NLMSGERR_ATTR_MSG = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port id
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_ERROR = struct.Struct("=i")
_NUMBER = struct.Struct("=I")
_LARGEST = 1 << 17  # bytes of a datagram
_DUMP_TRIES = 5
_numbers = [1]  # of the next message


class Message(NamedTuple):
    """A message, or an answer: `header` is what its family puts before the attributes, such as struct ifinfomsg."""

    kind: int
    flags: int
    header: bytes
    attributes: Sequence[Attribute] = ()


class Answer(NamedTuple):
    """A message from the kernel: its type, its flags, the number of the request, and what follows struct nlmsghdr."""

    kind: int
    flags: int
    number: int
    body: bytes


def request(protocol: int, *messages: Message) -> None:
    """Send messages in one datagram, and wait until each that has NLM_F_ACK is carried out.

    Raises OSError with the errno of the first one that is refused, and the kernel's own text when it gives one.
    """
    answers = _send(protocol, messages)
    for _ in range(sum(1 for message in messages if message.flags & NLM_F_ACK)):
        _raise_error(next(answers)[1])


def answers_of(protocol: int, messages: Sequence[Message]) -> list[Answer | None]:
    """The answer to each message, None for a refused one. They are sent in one datagram."""
    found: list[Answer | None] = [None] * len(messages)
    answers = _send(protocol, messages)
    for _ in messages:
        position, answer = next(answers)
        if answer.kind != _NLMSG_ERROR:
            found[position] = answer
    return found


def dump(protocol: int, message: Message) -> list[Answer]:
    """The answers to a request for many, which is repeated when something changed meanwhile.

    Such a dump may lack what existed all the time (NLM_F_DUMP_INTR).
    """
    message = message._replace(flags=message.flags | NLM_F_DUMP)
    for _ in range(_DUMP_TRIES):
        answers = []
        for _, answer in _send(protocol, [message]):
            if answer.kind == _NLMSG_DONE:
                break
            _raise_error(answer)
            answers.append(answer)
        if not any(answer.flags & _NLM_F_DUMP_INTR for answer in answers):
            break
    return answers


def parse(data: bytes) -> Iterator[Answer]:
    """The messages of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, number, _ = _HEADER.unpack_from(data, at)
        yield Answer(kind, flags, number, data[at + _HEADER.size : at + length])
        at += _aligned(length)


def attributes(body: bytes, at: int) -> dict[int, bytes]:
    """The attributes that begin at this byte of an answer's body."""
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        found[kind & _NLA_TYPE_MASK] = body[at + _ATTRIBUTE.size : at + length]
        at += max(_aligned(length), _ATTRIBUTE.size)
    return found


def encoded(attributes: Sequence[Attribute]) -> bytes:
    """The attributes as the kernel reads them. A number has four bytes in the host's order, text ends with a zero."""
    parts = []
    for kind, value in attributes:
        if isinstance(value, int):
            data = _NUMBER.pack(value)
        elif isinstance(value, str):
            data = value.encode() + b"\0"
        elif isinstance(value, bytes):
            data = value
        else:
            data, kind = encoded(value), kind | _NLA_F_NESTED
        parts.append(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4))
    return b"".join(parts)


def _send(protocol: int, messages: Sequence[Message]) -> Iterator[tuple[int, Answer]]:
    """Send messages in one datagram. Returns their answers, each with the position of its message, as they are read."""
    first = _numbers[0]
    _numbers[0] += len(messages)
    parts = []
    for number, message in enumerate(messages, first):
        body = message.header + encoded(message.attributes)
        size = _HEADER.size + len(body)
        parts.append(_HEADER.pack(size, message.kind, message.flags | NLM_F_REQUEST, number, 0) + body)
    channel = netlink_sockets.plain(protocol)
    channel.send(b"".join(parts))
    return _receive(channel, first)


def _receive(channel: socket.socket, first: int) -> Iterator[tuple[int, Answer]]:
    """The answers. A lower number than `first` has what an earlier request has left unread."""
    while True:
        for answer in parse(channel.recv(_LARGEST)):
            if answer.number >= first:
                yield answer.number - first, answer


def _raise_error(answer: Answer) -> None:
    """Raise what an answer of type NLMSG_ERROR says; its number 0 is an acknowledgement."""
    if answer.kind != _NLMSG_ERROR:
        return
    code = -_ERROR.unpack_from(answer.body)[0]
    if code == 0:
        return
    reason, text = os.strerror(code), b""
    if answer.flags & _NLM_F_ACK_TLVS:
        # Behind the error stands the header of the request, and the rest of it unless NLM_F_CAPPED is set.
        (length,) = struct.unpack_from("=I", answer.body, _ERROR.size)
        echoed = _HEADER.size if answer.flags & _NLM_F_CAPPED else _aligned(length)
        text = attributes(answer.body, _ERROR.size + echoed).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0")
    raise OSError(code, f"{reason} ({text.decode(errors='replace')})" if text else reason)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
