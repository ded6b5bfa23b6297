"""A CSV file for each batch, with the columns that the partner wants, by SFTP or in a directory of this machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

import msgspec

from app.adapters.acks import Acks
from app.adapters.contract import Answer, Batch, Kind, Order, Outcome, Report, Wire
from app.adapters.drop import MOST_ROWS, Delimiter, DropSettings, FileName, Naming
from app.adapters.reading import Reader
from app.adapters.settings import END, Reasons, Word

_OF_ORDER: dict[str, Callable[[Order], str]] = {
    "identifier": lambda order: order.name,
    "kind": lambda order: order.kind.value,
    "imei": lambda order: order.imei,
    "imei14": lambda order: order.imei[:14],
    "serial": lambda order: order.serial,
    "gtin": lambda order: order.gtin,
    "version": lambda order: str(order.version),
}
_NAMING = {Kind.IMEI: {"identifier", "imei", "imei14"}, Kind.SERIAL: {"identifier", "serial"}}
_NO_COLUMN = "no column of this partner's files holds a {}; give it a scope without them"


_OF_BATCH = ("op", "reason", "reference", "since", "key")
_HELD = (*_OF_ORDER, *_OF_BATCH)
_USUAL = ("imei", "serial", "gtin", "op", "reason", "reference", "since", "version")
_COLUMNS = (
    'a list like ["IMEI=imei14", "Action=op"], in the order of the columns: a header, and what stands below it, one of '
    + ", ".join(_HELD)
)
ColumnText = Annotated[str, msgspec.Meta(pattern=rf"^[^=\x00-\x1f\x7f]{{1,60}}=({'|'.join(_HELD)}){END}")]


class SftpCsvSettings(DropSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the files hold: `ops` and `reasons` have the partner's words for ours."""

    file_name: FileName = "imei-{number}-{op}-{key}.csv"
    columns: Annotated[list[ColumnText], msgspec.Meta(min_length=1, max_length=50, description=_COLUMNS)] = (
        msgspec.field(default_factory=lambda: [f"{name}={name}" for name in _USUAL])
    )
    delimiter: Delimiter = ","
    rows_per_file: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS, description="1 to 10000")] = 1000
    ops: Annotated[
        dict[Literal["block", "release"], Word],
        msgspec.Meta(
            description="an object with the partner's words, of at most 100 characters, for block and release"
        ),
    ] = msgspec.field(default_factory=dict)
    reasons: Reasons = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        held = {column.partition("=")[2] for column in self.columns}
        if not held & (_NAMING[Kind.IMEI] | _NAMING[Kind.SERIAL]):
            raise ValueError("columns would hold an identifier, imei, imei14 or serial")


class SftpCsv:
    """One partner that takes CSV files."""

    kind: ClassVar[str] = "sftp_csv"
    title: ClassVar[str] = "CSV files, by SFTP or in a directory"
    settings: ClassVar[type[msgspec.Struct]] = SftpCsvSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False
    indivisible: ClassVar[bool] = True

    def __init__(self, settings: SftpCsvSettings) -> None:
        self._settings = settings
        self._naming = Naming(settings.file_name, settings.ack_name)
        self._reader = Reader(settings.password, settings.private_key)
        self._acks = Acks(settings, self._naming, self._reader)
        self._ops: dict[str, str] = dict(settings.ops.items())
        self._reasons: dict[str, str] = dict(settings.reasons.items())
        self._columns = [(header, held) for header, _, held in (it.partition("=") for it in settings.columns)]
        self._held = {held for _, held in self._columns}

    @property
    def batch_size(self) -> int:
        return self._settings.rows_per_file

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        name = self._naming.name(batch)
        told = [order for order in batch.orders if self._can_tell(order)]
        if told:
            await wire.files(self._settings.orders_place).write(name, self._table(batch, told))
        left = Outcome.ACCEPTED if self._settings.acknowledged else Outcome.DONE
        return [self._answer(order, left, name) for order in batch.orders]

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        return await self._acks.poll(wire)

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        await self._acks.put_away(names, wire)

    def _can_tell(self, order: Order) -> bool:
        return bool(self._held & _NAMING[order.kind])

    def _answer(self, order: Order, left: Outcome, name: str) -> Answer:
        if not self._can_tell(order):
            return self._reader.answer(Outcome.REFUSED, "no-column", _NO_COLUMN.format(order.kind.value))
        return self._reader.answer(left, ref=name)

    def _table(self, batch: Batch, orders: Sequence[Order]) -> bytes:
        """The file, as RFC 4180 has it. It says no time of sending: a repeat must be the same bytes."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._settings.delimiter)
        writer.writerow([header for header, _ in self._columns])
        cause = self._cause(batch)
        for order in orders:
            known = {name: tell(order) for name, tell in _OF_ORDER.items()} | cause
            writer.writerow([known[held] for _, held in self._columns])
        return text.getvalue().encode()

    def _cause(self, batch: Batch) -> dict[str, str]:
        return {
            "op": self._ops.get(batch.op.value, batch.op.value),
            "reason": self._reasons.get(batch.reason, batch.reason),
            "reference": batch.reference,
            "since": f"{batch.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if batch.since else "",
            "key": batch.key,
        }
