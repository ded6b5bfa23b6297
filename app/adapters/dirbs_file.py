"""DIRBS Core's stolen list: a zip holding one CSV of the same name, a delta for each batch, or the whole list.

The other side refuses a whole file for one row that it does not take, and for one `add` of what it has already. So a
file holds each IMEI once, by its first 14 digits, and adds nothing that an earlier file of ours is known to have added.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec

from app.adapters.acks import Acks
from app.adapters.contract import Answer, Batch, Kind, Op, Order, Outcome, Report, Wire
from app.adapters.drop import MOST_ROWS, DropSettings, FileName, Naming, safe_key
from app.adapters.reading import Reader
from app.adapters.settings import END

_CHANGE = {Op.BLOCK: "add", Op.RELEASE: "remove"}
_STATUS = "blacklist"
# The earliest that a zip can say, and the same on every machine.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


class DirbsFileSettings(DropSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where DIRBS Core's import looks for files."""

    file_name: FileName = "stolen-{number}-{op}-{key}.zip"
    list_name: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^[A-Za-z0-9_-][A-Za-z0-9._-]*\{{key\}}[A-Za-z0-9._-]*\.zip{END}", max_length=60,
            description="how a file with the whole list is called: a name that holds {key} and ends with .zip",
        ),
    ] = "stolen-full-{key}.zip"  # fmt: skip
    rows_per_file: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS, description="1 to 10000")] = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file_name.endswith(".zip"):
            raise ValueError("file_name would end with .zip")


class DirbsFile:
    """One DIRBS Core."""

    kind: ClassVar[str] = "dirbs_file"
    title: ClassVar[str] = "DIRBS Core stolen list, by SFTP or in a directory"
    settings: ClassVar[type[msgspec.Struct]] = DirbsFileSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False
    indivisible: ClassVar[bool] = True

    def __init__(self, settings: DirbsFileSettings) -> None:
        self._settings = settings
        self._naming = Naming(settings.file_name, settings.ack_name)
        self._reader = Reader(settings.password, settings.private_key)
        self._acks = Acks(settings, self._naming, self._reader)

    @property
    def batch_size(self) -> int:
        return self._settings.rows_per_file

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        name = self._naming.name(batch)
        imeis = dict.fromkeys(order.imei[:14] for order in batch.orders if not _has_it(order, batch.op))
        if imeis:
            rows = (f"{imei},{_day(batch.since)},{_STATUS},{_CHANGE[batch.op]}" for imei in imeis)
            body = _packed(name, "imei,reporting_date,status,change_type", rows)
            await wire.files(self._settings.orders_place).write(name, body)
        return [self._answer(order, batch.op, name) for order in batch.orders]

    async def publish(self, key: str, orders: Iterable[Order], wire: Wire, at: datetime) -> Answer:
        name = self._settings.list_name.replace("{key}", safe_key(key))
        # A million of them take seconds.
        body = await asyncio.to_thread(_whole_list, name, orders, at)
        await wire.files(self._settings.orders_place).write(name, body)
        return self._reader.answer(Outcome.DONE, ref=name)

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        return await self._acks.poll(wire)

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        await self._acks.put_away(names, wire)

    def _answer(self, order: Order, op: Op, name: str) -> Answer:
        if _has_it(order, op):
            return self._reader.answer(Outcome.ALREADY, ref=order.ref)
        left = Outcome.ACCEPTED if self._settings.acknowledged else Outcome.DONE
        return self._reader.answer(left, ref=name)


def _has_it(order: Order, op: Op) -> bool:
    """A block with the reference of an earlier file is on the other side: it was lifted and declared anew before the
    lifting was told."""
    return op is Op.BLOCK and bool(order.ref)


def _day(moment: datetime | None) -> str:
    """The day in UTC; nothing for one before 2000, which the other side does not take."""
    day = f"{moment.astimezone(UTC):%Y%m%d}" if moment else ""
    return day if day >= "20000101" else ""


def _whole_list(name: str, orders: Iterable[Order], at: datetime) -> bytes:
    imeis = sorted({order.imei[:14] for order in orders if order.imei})
    rows = (f"{imei},{_day(at)},{_STATUS}" for imei in imeis)
    return _packed(name, "imei,reporting_date,status", rows, zipfile.ZIP_DEFLATED)


def _packed(name: str, header: str, rows: Iterable[str], method: int = zipfile.ZIP_STORED) -> bytes:
    """The zip. A batch's is not compressed, so that a repeat is the same bytes whichever zlib a machine has."""
    table = zipfile.ZipInfo(name.removesuffix(".zip") + ".csv", _NO_TIME)
    table.compress_type, table.create_system, table.external_attr = method, _UNIX, 0o644 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(table, "\n".join((header, *rows, "")))
    return packed.getvalue()
