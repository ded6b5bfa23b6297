"""Goods-in files that came packed: gzip is unpacked to a temporary file, within a limit, before it is read."""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from app.core.errors import Invalid, TooLarge

GZIP = b"\x1f\x8b"
ENDINGS = (".gz", ".gzip")

_BLOCK = 262_144
# zlib's name for gzip with the largest window.
_GZIP_FORM = 31
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
    size, begun = 0, b""
    try:
        for block in _blocks(source):
            begun = begun if len(begun) >= len(GZIP) else begun + block
            size += len(block)
            if begun.startswith(GZIP):
                raise nested()
            if size > most:
                text = f"The file unpacks to more than {most:,} bytes; send its rows in several files."
                raise TooLarge(text, "unpacked-too-large")
            file.write(block)
    except (EOFError, zlib.error) as error:
        text = f"The gzip file is cut off or damaged ({error}); pack it again and send that."
        raise Invalid(text, "gzip-broken") from error


def _blocks(source: _Rejoined) -> Iterator[bytes]:
    """All members of the file, one after the other; zero bytes may stand after them."""
    packed, members = b"", 0
    while packed := packed or source.read(_BLOCK):
        packed = packed.lstrip(b"\0") if members else packed
        if packed:
            members += 1
            if members > _MEMBERS:
                raise zlib.error(f"more than {_MEMBERS:,} parts")
            packed = yield from _member(packed, source)


def _member(packed: bytes, source: _Rejoined) -> Generator[bytes, None, bytes]:
    """One member, a block at a time; returns what follows it."""
    unpacker = zlib.decompressobj(_GZIP_FORM)
    while not unpacker.eof:
        block = unpacker.decompress(packed, _BLOCK)
        yield block
        packed = unpacker.unconsumed_tail
        if not packed and len(block) < _BLOCK and not unpacker.eof:
            packed = source.read(_BLOCK)
            if not packed:
                raise EOFError("it ends too early")
    return unpacker.unused_data
