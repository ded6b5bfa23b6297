"""Goods-in files that came packed: gzip is unpacked to a temporary file, within a limit, before it is read."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from app.core import disk
from app.core.errors import Invalid, TooLarge

GZIP = b"\x1f\x8b"
ENDINGS = (".gz", ".gzip")

BLOCK = 262_144
# zlib's names for gzip and for its own form, each with the largest window.
_GZIP_FORM, _ZLIB_FORM = 31, 15
# bgzip and pigz write one for some 64 KiB of a file, and each costs time.
_MEMBERS = 100_000


@contextmanager
def opened(source: BinaryIO, most: int) -> Iterator[BinaryIO]:
    """What the file holds, from where the source stands: of a gzip file, a temporary file of at most `most`
    bytes, gone at the end; of any other, the source, read again from its start only if the source could be.

    Raises TooLarge `unpacked-too-large` as soon as there is more, Invalid `gzip-broken`, `gzip-nested`.
    """
    head = source.read(len(GZIP))
    if head.startswith(GZIP):
        with TemporaryFile() as file:
            _fill(file, _Rejoined(head, source), most)
            file.seek(0)
            yield cast(BinaryIO, file)
    elif source.seekable():
        source.seek(-len(head), os.SEEK_CUR)
        yield source
    else:
        yield cast(BinaryIO, _Rejoined(head, source))


def head(packed: bytes) -> bytes:
    """How the file in a gzip file begins, as far as its own first bytes tell."""
    try:
        return zlib.decompressobj(_GZIP_FORM).decompress(packed, len(packed))
    except zlib.error:
        return b""


def nested() -> Invalid:
    """The refusal of a gzip file in a gzip file."""
    return Invalid("The gzip file holds a gzip file; unpack it once and send that.", "gzip-nested")


def too_large(most: int) -> TooLarge:
    """The refusal of what unpacks to more than `most` bytes."""
    text = f"The file unpacks to more than {most:,} bytes; send its rows in several files."
    return TooLarge(text, "unpacked-too-large")


class Unpacking:
    """What is packed, unpacked as it comes: the members of a gzip file, one after the other, after which zero
    bytes may stand; or, without `gzip`, one zlib stream and nothing after it."""

    def __init__(self, *, gzip: bool = True) -> None:
        self._form = _GZIP_FORM if gzip else _ZLIB_FORM
        self._stream = zlib.decompressobj(self._form)
        self._members = 1

    def fed(self, packed: bytes) -> Iterator[bytes]:
        """What comes of the next bytes, at most BLOCK bytes at a time. Raises zlib.error."""
        while packed := self._of_member(packed):
            full = True
            while full:
                block = self._stream.decompress(packed, BLOCK)
                packed, full = self._stream.unconsumed_tail, len(block) == BLOCK
                if block:
                    yield block
            packed = self._stream.unused_data

    def end(self) -> None:
        """Raises EOFError where more would have to come."""
        if not self._stream.eof:
            raise EOFError("it ends too early")

    def _of_member(self, packed: bytes) -> bytes:
        if not self._stream.eof or not packed:
            return packed
        if self._form == _ZLIB_FORM:
            raise zlib.error("more stands after its end")
        packed = packed.lstrip(b"\0")
        if packed:
            self._stream = zlib.decompressobj(self._form)
            self._members += 1
            if self._members > _MEMBERS:
                raise zlib.error(f"more than {_MEMBERS:,} parts")
        return packed


class _Rejoined:
    """A file that was begun to be read, from its start."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head or self._rest.read(size)

    def seekable(self) -> bool:
        return False


def _fill(file: IO[bytes], source: _Rejoined, most: int) -> None:
    size, begun, room = 0, b"", disk.Room(file)
    try:
        for block in _blocks(source):
            begun = begun if len(begun) >= len(GZIP) else begun + block
            size += len(block)
            if begun.startswith(GZIP):
                raise nested()
            if size > most:
                raise too_large(most)
            room.take(len(block))
            with disk.writing():
                file.write(block)
    except (EOFError, zlib.error) as error:
        text = f"The gzip file is cut off or damaged ({error}); pack it again and send that."
        raise Invalid(text, "gzip-broken") from error


def _blocks(source: _Rejoined) -> Iterator[bytes]:
    unpacking = Unpacking()
    while packed := source.read(BLOCK):
        yield from unpacking.fed(packed)
    unpacking.end()
