"""DNS messages, as far as a resolver for containers reads and writes them (RFC 1035, RFC 6891).

What comes in was written by a container: nothing of it is believed, and nothing of it makes these functions raise or
loop. A name in a question cannot be compressed (there is nothing before it to point at); names elsewhere are skipped.
"""

import struct
from dataclasses import dataclass

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
INTERNET = 1
NOERROR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 2, 3, 4, 5
SMALLEST, LARGEST = 512, 65535  # what a client takes by UDP without EDNS; what fits in a message at all
_OURS = 1232  # what we say that we take: fits into every path unfragmented
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSE, _RECURSES = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080
_HEADER = struct.Struct(">6H")
_PAIR = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")
_NAME_OF_QUESTION = b"\xc0\x0c"
TTL = 0  # an address is true for as long as its container runs: nobody is to remember it


@dataclass(frozen=True, eq=False)
class Query:
    number: int
    flags: int
    question: bytes  # as it came: name, type, class
    name: str  # lower case, without the last dot
    kind: int
    is_internet: bool
    size: int  # the longest answer that is taken by UDP
    extended: bool  # it speaks EDNS

    @property
    def opcode(self) -> int:
        return (self.flags & _OPCODE) >> 11


def parse(data: bytes) -> Query | None:
    """None: it is no question, and gets no answer."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, *others = _HEADER.unpack_from(data)
    if flags & _RESPONSE or questions != 1:
        return None
    labels = _labels(data, _HEADER.size)
    if labels is None:
        return None
    end = _HEADER.size + sum(len(label) + 1 for label in labels) + 1
    if end + _PAIR.size > len(data):
        return None
    kind, group = _PAIR.unpack_from(data, end)
    question = data[_HEADER.size : end + _PAIR.size]
    size = _extended_size(data, end + _PAIR.size, sum(others))
    name = b".".join(labels).lower().decode("latin-1")
    limit = SMALLEST if size is None else max(SMALLEST, size)
    return Query(number, flags, question, name, kind, group == INTERNET, limit, size is not None)


def _labels(data: bytes, at: int) -> list[bytes] | None:
    labels: list[bytes] = []
    total = 1
    while at < len(data):
        length = data[at]
        if length == 0:
            return labels
        label = data[at + 1 : at + 1 + length]
        total += length + 1
        if length > 63 or len(label) < length or total > 255:
            return None
        labels.append(label)
        at += length + 1
    return None


def _extended_size(data: bytes, at: int, records: int) -> int | None:
    """What the OPT record among the `records` that follow says; None when there is none that can be read."""
    for _ in range(records):
        after = _skip_name(data, at)
        if after is None or after + _RECORD.size > len(data):
            return None
        kind, group, _, length = _RECORD.unpack_from(data, after)
        if kind == OPT and data[at] == 0:
            return int(group)
        at = after + _RECORD.size + length
    return None


def _skip_name(data: bytes, at: int) -> int | None:
    while at < len(data):
        length = data[at]
        if length >= 0xC0:
            return at + 2
        if length > 63:
            return None
        at += length + 1
        if length == 0:
            return at
    return None


def answer(query: Query, records: list[bytes], code: int = NOERROR, limit: int | None = None) -> bytes:
    """A reply with as many of the records as fit; when that is not all of them, it says so (TC)."""
    tail = b""
    if query.extended:
        tail = b"\0" + _RECORD.pack(OPT, _OURS, 0, 0)
    room = (query.size if limit is None else limit) - _HEADER.size - len(query.question) - len(tail)
    fitting: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        fitting.append(record)
    flags = _RESPONSE | (query.flags & (_OPCODE | _RECURSE)) | _RECURSES | code
    if len(fitting) < len(records):
        flags |= _TRUNCATED
    header = _HEADER.pack(query.number, flags, 1, len(fitting), 0, 1 if tail else 0)
    return header + query.question + b"".join(fitting) + tail


def record(kind: int, data: bytes) -> bytes:
    """One about the name that was asked for."""
    return _NAME_OF_QUESTION + _RECORD.pack(kind, INTERNET, TTL, len(data)) + data


def encoded_name(name: str) -> bytes:
    """b"" when it cannot be one."""
    labels = [label.encode("latin-1", "replace") for label in name.split(".")]
    if any(not 0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        return b""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


# --- between a client and another resolver


def renumbered(data: bytes, number: int) -> bytes:
    return number.to_bytes(2, "big") + data[2:]


def code_of(data: bytes) -> int:
    return data[3] & 0xF


def is_reply(data: bytes, number: int, query: Query) -> bool:
    """Whether this answers our copy of the query: its number, and the very same question (upper case may have been
    lost)."""
    if len(data) < _HEADER.size:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(data)
    asked = data[_HEADER.size : _HEADER.size + len(query.question)]
    return bool(got == number and flags & _RESPONSE and questions == 1 and asked.lower() == query.question.lower())


def fitted(data: bytes, query: Query) -> bytes:
    """What another resolver has said, no longer than the client takes by UDP."""
    if len(data) <= query.size:
        return data
    _, flags, *_ = _HEADER.unpack_from(data)
    return _HEADER.pack(query.number, flags | _TRUNCATED, 1, 0, 0, 0) + query.question
