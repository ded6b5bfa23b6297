"""A Bloom filter over blocked IMEIs, as a file: written and read. deploy/FILTER.md describes it, for readers in other
languages. Knows no database.

A key is its 14 digits in ASCII. Of its SHA-256 the first two words of 64 bits, a and b, are taken modulo the number of
bits; its bits are (a + i · b) modulo that number, for i from 0. Bit p is in byte p // 8, the highest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct

import msgspec

from app.core.errors import Flaw, Invalid

# Of a thousand IMEIs that are not blocked, about one is taken for perhaps blocked: ten hashes, and 14.4 bits a key.
RATE = 0.001
HASHES = 10
BITS_PER_KEY = -math.log(RATE) / math.log(2) ** 2
# In a few bits the places of one key fall on each other.
_FEWEST_BITS = 8192
_MAGIC, _VERSION = b"IGBF", 1
_HEAD = Struct(">4sBB2x4Q")
_DIGITS = 14
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_words = Struct(">QQ").unpack_from
# Keys after which it is told how many are done.
_TOLD = 50_000


class Filter(msgspec.Struct, frozen=True):
    """A filter that was read. `position` is that of the change feed: what was blocked there is in it, and nothing
    else."""

    hashes: int
    bits: int
    keys: int
    position: int
    made_at: datetime
    content: bytes

    def may_hold(self, key: int) -> bool:
        """Whether a key may be blocked. False is certain, as of the position."""
        places = _places(b"%014d" % key, self.hashes, self.bits)
        return all(self.content[_HEAD.size + place // 8] & 128 >> place % 8 for place in places)


def _places(digits: bytes, hashes: int, bits: int) -> Iterator[int]:
    first, step = (word % bits for word in _words(sha256(digits).digest()))
    return ((first + turn * step) % bits for turn in range(hashes))


def unheard(done: int, count: int) -> None:
    """Nobody wants to know how many keys are done."""


def written(
    digits: bytes, position: int, made_at: datetime, told: Callable[[int, int], None] = unheard
) -> bytes:
    """The file over these keys: the 14 digits of each, one after another. A million take two seconds of a core, and
    14 MB beside the file; `told` hears how many are done, of how many."""
    count = len(digits) // _DIGITS
    bits = max(_FEWEST_BITS, math.ceil(count * BITS_PER_KEY))
    seconds = (made_at - _EPOCH) // timedelta(seconds=1)
    head = _HEAD.pack(_MAGIC, _VERSION, HASHES, bits, count, position, seconds)
    return head + _packed(_marked(digits, bits, told))


def _marked(digits: bytes, bits: int, told: Callable[[int, int], None]) -> bytearray:
    """A byte for each bit, 1 where it is set. Does what `_places` says, in half of the time."""
    marks = bytearray(-(-bits // 8) * 8)
    for at in range(0, len(digits), _DIGITS):
        place, step = _words(sha256(digits[at : at + _DIGITS]).digest())
        place, step = place % bits, step % bits
        for _ in range(HASHES):
            marks[place] = 1
            place += step
            if place >= bits:
                place -= bits
        if not at % (_DIGITS * _TOLD):
            told(at // _DIGITS, len(digits) // _DIGITS)
    return marks


def _packed(marks: bytearray) -> bytes:
    """Eight bytes of 0 or 1 as the bits of one. The bytes that become the same bit of theirs make one large integer, so
    that all are moved there at once."""
    stripes = (int.from_bytes(marks[bit::8]) << 7 - bit for bit in range(8))
    return sum(stripes).to_bytes(len(marks) // 8)


def read(content: bytes) -> Filter:
    """Raises Invalid (`filter-broken`) for what is no filter, or not the whole of one."""
    if len(content) >= _HEAD.size:
        magic, version, hashes, bits, keys, position, made_at = _HEAD.unpack_from(content)
        whole = _HEAD.size + -(-bits // 8)
        if (magic, version) == (_MAGIC, _VERSION) and hashes and bits and len(content) == whole:
            return Filter(hashes, bits, keys, position, datetime.fromtimestamp(made_at, UTC), content)
    sentence = "This is no filter of the block list, or not the whole of one; download it again."
    raise Invalid(sentence, "filter-broken", (Flaw(sentence, code="filter-broken"),))
