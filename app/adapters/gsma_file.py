"""Ranges of IMEIs between a header and a trailer, in the manner of files for the GSMA's IMEI database.

Unverified: the specification (SG.18) is the GSMA's and not public. What is known of it, that a header names the
organisation, that a record has a first and a last IMEI of 14 digits and a reason code, and that a trailer ends the
file, is here; the layout is ours, says so in each file, and is to be agreed with whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec

from app.adapters.acks import Acks
from app.adapters.contract import Answer, Batch, Kind, Op, Order, Outcome, Report, Wire
from app.adapters.drop import MOST_ROWS, DropSettings, FileName, Naming
from app.adapters.reading import Reader
from app.adapters.settings import END
from app.core.imei import tac

_ACTION = {Op.BLOCK: "insert", Op.RELEASE: "remove"}
_LAYOUT = "UNVERIFIED-1"
Code = Annotated[
    str, msgspec.Meta(pattern=rf"^[0-9]{{4}}{END}", description="a reason code of the GSMA: four digits")
]


class GsmaFileSettings(DropSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the GSMA. The codes are those that are known in public: 0011 stolen or lost, 0014 found."""

    file_name: FileName = "gsma-{number}-{op}-{key}.txt"
    organisation: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^[A-Za-z0-9_-]{{1,40}}{END}", description="the organisation's identifier at the GSMA"
        ),
    ]
    block_reason: Code = "0011"
    release_reason: Code = "0014"
    imeis_per_file: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS, description="1 to 10000")] = 1000


class GsmaFile:
    """One reader of ranges files."""

    kind: ClassVar[str] = "gsma_file"
    title: ClassVar[str] = "Ranges file in the GSMA's manner (layout unverified)"
    settings: ClassVar[type[msgspec.Struct]] = GsmaFileSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False
    indivisible: ClassVar[bool] = True

    def __init__(self, settings: GsmaFileSettings) -> None:
        self._settings = settings
        self._naming = Naming(settings.file_name, settings.ack_name)
        self._reader = Reader(settings.password, settings.private_key)
        self._acks = Acks(settings, self._naming, self._reader)

    @property
    def batch_size(self) -> int:
        return self._settings.imeis_per_file

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        name = self._naming.name(batch)
        lines = "\n".join((*self._lines(batch), ""))
        await wire.files(self._settings.orders_place).write(name, lines.encode())
        left = Outcome.ACCEPTED if self._settings.acknowledged else Outcome.DONE
        return [self._reader.answer(left, ref=name)] * len(batch.orders)

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        return await self._acks.poll(wire)

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        await self._acks.put_away(names, wire)

    def _lines(self, batch: Batch) -> Iterator[str]:
        day = f"{batch.since.astimezone(UTC):%Y%m%d}" if batch.since else ""
        code = self._settings.block_reason if batch.op is Op.BLOCK else self._settings.release_reason
        yield f"HEADER,{self._settings.organisation},{batch.key},{day},{_LAYOUT}"
        records = list(ranges(batch.orders))
        yield from (f"{first:014d},{last:014d},{_ACTION[batch.op]},{code}" for first, last in records)
        yield f"TRAILER,{len(records)}"


def ranges(orders: Iterable[Order]) -> Iterator[tuple[int, int]]:
    """The first and the last of each row of IMEIs that follow one another, by 14 digits and within one TAC."""
    run: list[int] = []
    for key in sorted({int(order.imei[:14]) for order in orders}):
        if run and (key != run[-1] + 1 or tac(key) != tac(run[0])):
            yield run[0], run[-1]
            run = []
        run = [*run[:1], key]
    if run:
        yield run[0], run[-1]
