"""DNS messages, as far as a server for containers reads and writes them (RFC 1035; EDNS: RFC 6891).

Messages come from containers and are not trusted: no input makes these functions raise or loop. The name in a question
cannot be compressed, since nothing before it could be pointed at; names elsewhere are skipped.
"""

import struct
from dataclasses import dataclass

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255  # RFC 1035 section 3.2.2, RFC 3596, RFC 6891
CLASS_IN = 1
NOERROR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 2, 3, 4, 5
MIN_UDP_SIZE, MAX_SIZE = 512, 65535  # bytes: what every client accepts by UDP, and what a message can hold
_OWN_UDP_SIZE = 1232  # bytes that this server accepts by UDP: unfragmented on every path (DNS flag day 2020)
_QR, _OPCODE, _TC, _RD, _RA = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080  # bits of the flags, RFC 1035 section 4.1.1
_HEADER = struct.Struct(">6H")
_TYPE_CLASS = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")  # type, class, TTL, length of the data
_POINTER_TO_QUESTION = b"\xc0\x0c"
_MAX_LABEL, _MAX_NAME = 63, 255
TTL = 0  # seconds: an address is valid only while its container runs, so nobody may cache it


@dataclass(frozen=True, eq=False)
class Query:
    """A parsed query with one question.

    question: its bytes as received: name, type, class
    name: in lower case, without the final dot
    kind: the queried type, such as A
    is_internet: whether the class is IN
    max_udp_size: the longest reply that the client accepts by UDP, in bytes
    uses_edns: whether it carries an OPT record, so that the reply has to
    """

    id: int
    flags: int
    question: bytes
    name: str
    kind: int
    is_internet: bool
    max_udp_size: int
    uses_edns: bool

    @property
    def opcode(self) -> int:
        """0 for a standard query."""
        return (self.flags & _OPCODE) >> 11


def parse_query(data: bytes) -> Query | None:
    """Parse a message; None when it is not a query with one question, and gets no reply."""
    if len(data) < _HEADER.size:
        return None
    query_id, flags, questions, *others = _HEADER.unpack_from(data)
    if flags & _QR or questions != 1:
        return None
    labels = _labels(data, _HEADER.size)
    if labels is None:
        return None
    end = _HEADER.size + sum(len(label) + 1 for label in labels) + 1
    if end + _TYPE_CLASS.size > len(data):
        return None
    kind, query_class = _TYPE_CLASS.unpack_from(data, end)
    question = data[_HEADER.size : end + _TYPE_CLASS.size]
    edns_size = _edns_size(data, end + _TYPE_CLASS.size, sum(others))
    name = b".".join(labels).lower().decode("latin-1")
    max_udp_size = MIN_UDP_SIZE if edns_size is None else max(MIN_UDP_SIZE, edns_size)
    return Query(query_id, flags, question, name, kind, query_class == CLASS_IN, max_udp_size, edns_size is not None)


def _labels(data: bytes, offset: int) -> list[bytes] | None:
    """The labels of an uncompressed name; None when it is invalid."""
    labels: list[bytes] = []
    total = 1
    while offset < len(data):
        length = data[offset]
        if length == 0:
            return labels
        label = data[offset + 1 : offset + 1 + length]
        total += length + 1
        if length > _MAX_LABEL or len(label) < length or total > _MAX_NAME:
            return None
        labels.append(label)
        offset += length + 1
    return None


def _edns_size(data: bytes, offset: int, records: int) -> int | None:
    """The UDP size in the OPT record among the next `records`; None without a readable one."""
    for _ in range(records):
        after = _skip_name(data, offset)
        if after is None or after + _RECORD.size > len(data):
            return None
        kind, udp_size, _, length = _RECORD.unpack_from(data, after)
        if kind == OPT and data[offset] == 0:
            return int(udp_size)
        offset = after + _RECORD.size + length
    return None


def _skip_name(data: bytes, offset: int) -> int | None:
    """The offset behind a name that may end in a pointer; None when it is invalid."""
    while offset < len(data):
        length = data[offset]
        if length >= 0xC0:
            return offset + 2
        if length > _MAX_LABEL:
            return None
        offset += length + 1
        if length == 0:
            return offset
    return None


def reply(query: Query, records: list[bytes], code: int = NOERROR, limit: int | None = None) -> bytes:
    """Build a reply with as many of the records as fit, marked as truncated (TC) when some do not.

    records: resource records, from `resource_record`
    code: the response code
    limit: bytes; by default what the client accepts by UDP
    """
    edns = b""
    if query.uses_edns:
        edns = b"\0" + _RECORD.pack(OPT, _OWN_UDP_SIZE, 0, 0)
    room = (query.max_udp_size if limit is None else limit) - _HEADER.size - len(query.question) - len(edns)
    fitting: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        fitting.append(record)
    flags = _QR | (query.flags & (_OPCODE | _RD)) | _RA | code
    if len(fitting) < len(records):
        flags |= _TC
    header = _HEADER.pack(query.id, flags, 1, len(fitting), 0, 1 if edns else 0)
    return header + query.question + b"".join(fitting) + edns


def resource_record(kind: int, data: bytes) -> bytes:
    """Encode a resource record about the name in the question."""
    return _POINTER_TO_QUESTION + _RECORD.pack(kind, CLASS_IN, TTL, len(data)) + data


def encode_name(name: str) -> bytes:
    """Encode a dotted name; b"" when it is not a valid one."""
    labels = [label.encode("latin-1", "replace") for label in name.split(".")]
    total = sum(len(label) + 1 for label in labels) + 1
    if any(not 0 < len(label) <= _MAX_LABEL for label in labels) or total > _MAX_NAME:
        return b""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


# --- messages passed between a client and another DNS server


def with_id(data: bytes, query_id: int) -> bytes:
    """Return the message with another id."""
    return query_id.to_bytes(2, "big") + data[2:]


def response_code(data: bytes) -> int:
    """Return the response code of a message that is_reply has accepted."""
    return data[3] & 0xF


def is_reply(data: bytes, query_id: int, query: Query) -> bool:
    """Return whether the message answers the query as it was sent with this id: same id and same question.

    Some servers return the name in another case, so case is ignored.
    """
    if len(data) < _HEADER.size:
        return False
    reply_id, flags, questions, *_ = _HEADER.unpack_from(data)
    question = data[_HEADER.size : _HEADER.size + len(query.question)]
    return bool(reply_id == query_id and flags & _QR and questions == 1 and question.lower() == query.question.lower())


def truncate(data: bytes, query: Query) -> bytes:
    """Return another server's reply, or an empty truncated one when the client does not accept its size by UDP."""
    if len(data) <= query.max_udp_size:
        return data
    _, flags, *_ = _HEADER.unpack_from(data)
    return _HEADER.pack(query.id, flags | _TC, 1, 0, 0, 0) + query.question
