"""Stands between a client and an engine, and writes down what they say: one JSON object for each request.

    python -m tests.compatibility.recorder ENGINE-SOCKET FILE SOCKET [HOST:PORT]

Bytes are passed on as they come, in both directions, whatever they are. Of a body only what is JSON is kept, and at
most _KEPT bytes.
"""

import asyncio
import json
import os
import sys
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_KEPT = 4 << 20
_PIECE = 1 << 16
_NO_BODY = {204, 304}


@dataclass
class Message:
    """The head of a request or an answer, and what was kept of its body."""

    first: str
    headers: dict[str, str]
    raw: bytes
    body: bytearray = field(default_factory=bytearray)
    size: int = 0

    @property
    def status(self) -> int:
        return int(self.first.split()[1])

    def keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(self.body) < _KEPT:
            self.body += piece


class Connection:
    """One client, and one connection to the engine for it."""

    def __init__(self, client: tuple[StreamReader, StreamWriter], engine: tuple[StreamReader, StreamWriter], log: Any):
        self._from_client, self._to_client = client
        self._from_engine, self._to_engine = engine
        self._log = log
        self._is_raw = False

    async def run(self) -> None:
        leaving = asyncio.create_task(self._until_client_leaves())
        try:
            while request := await _head(self._from_client):
                if await self._exchange(request):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            leaving.cancel()
            for writer in (self._to_client, self._to_engine):
                writer.close()

    async def _until_client_leaves(self) -> None:
        """An answer may go on for ever, like that of /events: it ends when nobody reads it."""
        while not self._from_client.at_eof():
            await asyncio.sleep(0.1)
        if not self._is_raw:
            self._to_engine.close()

    async def _exchange(self, request: Message) -> bool:
        """Pass one request on, and its answer back. True if the connection belongs to the two from then on."""
        self._to_engine.write(request.raw)
        # An engine may answer before it has read all, and a client that waits for it sends nothing more.
        sending = asyncio.create_task(self._send_body(request))
        answer = await self._answer()
        if answer is None:
            sending.cancel()
            return True
        self._to_client.write(answer.raw)
        if answer.status == 101 or (_length(answer, answer=True) is None and not _bodiless(request, answer)):
            self._write_down(request, answer)
            sending.cancel()
            self._is_raw = True
            await self._raw(answer)
            return True
        try:
            if not _bodiless(request, answer):
                await _pass(self._from_engine, self._to_client, answer, _length(answer, answer=True))
            else:
                await self._to_client.drain()
        finally:
            self._write_down(request, answer)
        await sending
        return False

    async def _send_body(self, request: Message) -> None:
        await _pass(self._from_client, self._to_engine, request, _length(request))

    async def _answer(self) -> Message | None:
        """The answer's head; 100 Continue comes before it."""
        while answer := await _head(self._from_engine):
            if answer.status != 100:
                return answer
            self._to_client.write(answer.raw)
        return None

    async def _raw(self, answer: Message) -> None:
        """Each direction ends by itself: a client may end its input and still read."""

        async def one(reader: StreamReader, writer: StreamWriter) -> None:
            try:
                while piece := await reader.read(_PIECE):
                    writer.write(piece)
                    await writer.drain()
                writer.write_eof()
            except OSError:
                pass

        up = asyncio.create_task(one(self._from_client, self._to_engine))
        await one(self._from_engine, self._to_client)
        up.cancel()

    def _write_down(self, request: Message, answer: Message) -> None:
        method, path, _ = request.first.split(" ", 2)
        record = {
            "method": method,
            "path": path,
            "request": _json(request),
            "status": answer.status,
            "headers": answer.headers,
            "answer": _json(answer),
            "size": answer.size,
        }
        print(json.dumps(record), file=self._log, flush=True)


async def _head(reader: StreamReader) -> Message | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Message(first, headers, raw)


def _bodiless(request: Message, answer: Message) -> bool:
    return request.first.startswith("HEAD ") or answer.status in _NO_BODY


def _length(message: Message, answer: bool = False) -> int | None:
    """-1: in chunks. None: an answer that goes on until the connection ends."""
    if "chunked" in message.headers.get("transfer-encoding", ""):
        return -1
    if length := message.headers.get("content-length"):
        return int(length)
    return None if answer else 0


async def _pass(reader: StreamReader, writer: StreamWriter, message: Message, length: int | None) -> None:
    if length == -1:
        await _pass_chunks(reader, writer, message)
    else:
        await _pass_bytes(reader, writer, message, length or 0)
    await writer.drain()


async def _pass_bytes(reader: StreamReader, writer: StreamWriter, message: Message, length: int) -> None:
    while length:
        piece = await reader.read(min(length, _PIECE))
        if not piece:
            raise ConnectionError
        length -= len(piece)
        message.keep(piece)
        writer.write(piece)
        await writer.drain()


async def _pass_chunks(reader: StreamReader, writer: StreamWriter, message: Message) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
        if not (size := int(line.split(b";")[0], 16)):
            break
        await _pass_bytes(reader, writer, message, size)
        writer.write(await reader.readexactly(2))
        await writer.drain()
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":  # trailers
        writer.write(line)
    writer.write(line)


def _json(message: Message) -> Any:
    """The body, if it is one JSON value; a list of them, under `stream`, if it is several."""
    if not message.size or message.size > _KEPT or "json" not in message.headers.get("content-type", "json"):
        return None
    try:
        text = message.body.decode()
        try:
            return json.loads(text)
        except ValueError:
            return {"stream": [json.loads(line) for line in text.splitlines() if line.strip()]}
    except ValueError:
        return None


async def serve(engine: str, file: Path, places: list[str]) -> None:
    """Listen on each of the places, for good."""
    with file.open("a") as log:

        async def accept(reader: StreamReader, writer: StreamWriter) -> None:
            try:
                connected = await asyncio.open_unix_connection(engine)
            except OSError:
                writer.close()
                return
            await Connection((reader, writer), connected, log).run()

        for place in places:
            if place.startswith("/"):
                await asyncio.start_unix_server(accept, place)
                os.chmod(place, 0o666)
            else:
                name, _, port = place.rpartition(":")
                await asyncio.start_server(accept, name, int(port))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
