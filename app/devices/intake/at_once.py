"""The IMEIs of many rows at once: those that are plainly right are known without looking at each.

What this leaves open, `imeis` decides; it never decides otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

from app.core.imei import BODIES, certain
from app.devices.intake.imeis import MOST_IMEIS

_OPEN = -1
_PLAIN = bytes(byte - 48 if 48 <= byte <= 57 else 0 for byte in range(256))
_DOUBLED = bytes(2 * digit // 10 + 2 * digit % 10 for digit in _PLAIN)
_MODULO_TEN = bytes(byte % 10 for byte in range(256))
# Stands where a cell is no 15 characters long, so that every row has its place.
_NONE = "351111111111111"
_BODIES = frozenset((48 + body // 10, 48 + body % 10) for body in BODIES)


def keys(columns: Sequence[Sequence[str]]) -> Iterable[list[int] | None]:
    """For each row, the keys of its cells in the IMEI columns, in order; None where one needs a closer look."""
    found = [_of_column(column) for column in columns]
    match found:
        case []:
            return repeat(None)
        case [first, second]:
            pairs = zip(first, second, strict=True)
            return [[one, other] if 0 < one < other else _together((one, other)) for one, other in pairs]
        case _:
            return map(_together, zip(*found, strict=True))


def _together(row: tuple[int, ...]) -> list[int] | None:
    single = {key for key in row if key}
    return sorted(single) if _OPEN not in single and len(single) <= MOST_IMEIS else None


def _of_column(cells: Sequence[str]) -> list[int]:
    """Of each cell the key, 0 where it is empty, and _OPEN where it needs a closer look."""
    digits = "".join([cell if len(cell) == 15 else _NONE for cell in cells])
    if digits.isascii() and digits.isdigit():
        numbers = digits.encode()
        if _BODIES.issuperset(zip(numbers[::15], numbers[1::15], strict=True)):
            sums, serials = _sums(numbers)
            if 0 not in serials:
                pairs = zip(cells, sums, strict=True)
                return [
                    int(cell) // 10 if len(cell) == 15 and not off else -bool(cell) for cell, off in pairs
                ]
    return [_of_cell(cell) for cell in cells]


def _of_cell(cell: str) -> int:
    key = certain(cell)
    return key if key // 10**12 in BODIES and key % 10**6 else -bool(cell)


def _sums(numbers: bytes) -> tuple[bytes, bytes]:
    """The Luhn sums of numbers of 15 digits, modulo ten, and what the serial number's digits add to each: nothing
    where it is 000000.

    The digits that stand at one place of all numbers make one large integer, with a byte for each number; adding
    15 of these adds up the digits of every number. No byte runs over: 15 times 9 is 135.
    """
    count = len(numbers) // 15
    digits = (numbers[place::15].translate(_DOUBLED if place % 2 else _PLAIN) for place in range(15))
    places = [int.from_bytes(place, "big") for place in digits]
    serials = sum(places[8:14])
    total = serials + sum(places[:8]) + places[14]
    return total.to_bytes(count, "big").translate(_MODULO_TEN), serials.to_bytes(count, "big")
