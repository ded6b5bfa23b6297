"""The way in for files: the body itself, in a content coding or not, or the file of a form. It is spooled to disk, so
no transaction waits for a slow client, and is never held in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from app.api import body, form
from app.api.problems import AnyRequest, NotTaken
from app.core import disk
from app.core.errors import Invalid
from app.devices.intake import MOST_UNPACKED
from app.devices.intake.unpack import Unpacking, too_large

CODINGS = ("gzip", "x-gzip", "deflate")
HEADER: dict[str, Any] = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"type": "string", "enum": [*CODINGS, "identity"]},
    "description": "The body, a form as well, may come compressed, in one of these: `deflate` is the form of zlib.",
}
# So many bytes come of it that the event loop does not wait for them.
_PACKED = 65_536


class Upload(NamedTuple):
    """A file that is on the spool: its SHA-256, its content type and its name, '' where there is none, and what the
    form said beside it, by the names of the handler's parameters."""

    digest: bytes
    sent_as: str
    filename: str
    said: dict[str, Any]


@asynccontextmanager
async def opened() -> AsyncIterator[BinaryIO]:
    """A spool, gone at the end: of one of gigabytes, that takes seconds, for which the event loop does not wait."""
    with TemporaryFile() as spool:
        try:
            yield cast(BinaryIO, spool)
        finally:
            await asyncio.to_thread(spool.close)


async def spooled(request: AnyRequest, spool: BinaryIO, limit: int) -> Upload:
    """The body, of at most `limit` bytes as they come and MOST_UNPACKED unpacked, is on the spool then, or the file
    of its form. Raises NotTaken for another kind of multipart body, and as `body.stream` and `Form` do; of a body
    in a content coding, TooLarge `unpacked-too-large` and Invalid `coding-broken`; Unavailable `disk-full`."""
    sent_as = request.headers.get("content-type", "")
    between, file = form.boundary(sent_as), _Filling(spool)
    if between is None:
        if sent_as.strip().lower().startswith("multipart/"):
            raise _other_parts()
        await _taken(request, limit, file.write)
        return Upload(file.digest, sent_as, "", {})
    found = form.Form(request.route_handler, between, file.write, request.query_params)
    await _taken(request, limit, found.take)
    found.end()
    sent = Upload(file.digest, found.sent_as, found.filename, found.said)
    body.stands_for(request, msgspec.json.encode([sent.digest.hex(), *sent[1:]], order="sorted"))
    return sent


class _Filling:
    """A spool that is being written, and the digest of what is on it."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool, self._read, self._room = spool, hashlib.sha256(), disk.Room(spool)

    def write(self, part: bytes) -> None:
        """Raises Unavailable `disk-full`."""
        self._read.update(part)
        self._room.take(len(part))
        with disk.writing():
            self._spool.write(part)

    @property
    def digest(self) -> bytes:
        return self._read.digest()


def _other_parts() -> NotTaken:
    text = f"The body has parts and is no form; it would be {form.TYPE}, or the file itself."
    return NotTaken(text, "body-parts", {"Accept": f"text/csv, {form.TYPE}"})


async def _taken(request: AnyRequest, limit: int, take: Callable[[bytes], object]) -> None:
    coding = body.coding(request, CODINGS)
    parts = body.stream(request, limit, CODINGS)
    if not coding:
        async for part in parts:
            take(part)
        return
    packed = Packed(coding, take, MOST_UNPACKED)
    async for block in _blocks(parts):
        await asyncio.to_thread(packed.take, block)
    packed.end()


async def _blocks(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same in blocks that are worth a thread, however small a client cuts them."""
    held = bytearray()
    async for part in parts:
        held += part
        while len(held) >= _PACKED:
            yield bytes(held[:_PACKED])
            del held[:_PACKED]
    yield bytes(held)


class Packed:
    """A body in a content coding on its way: what it unpacks to, at most `most` bytes, is passed to `take`."""

    def __init__(self, coding: str, take: Callable[[bytes], object], most: int) -> None:
        self._coding = coding
        self._unpacking = Unpacking(gzip=coding != "deflate")
        self._take = take
        self._most = most
        self._size = 0

    def take(self, packed: bytes) -> None:
        """The next bytes. Raises TooLarge, Invalid."""
        try:
            for block in self._unpacking.fed(packed):
                self._size += len(block)
                if self._size > self._most:
                    raise too_large(self._most)
                self._take(block)
        except zlib.error as error:
            raise self._broken(error) from None

    def end(self) -> None:
        """The body has ended. Raises Invalid where it would go on."""
        try:
            self._unpacking.end()
        except EOFError as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> Invalid:
        text = (
            f"The body is cut off or damaged, or not in the content coding '{self._coding}' ({error}); it would be"
            " what Content-Encoding says, or come without that header."
        )
        return Invalid(text, "coding-broken")
