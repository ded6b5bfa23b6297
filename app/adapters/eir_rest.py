"""The REST EIR whose rows have ids, in the manner of PyHSS: PUT makes a row, DELETE removes one by its id.

A second PUT makes a second row. So a block's answer refers to its row, by which the release removes it; and a call
that may have been made before looks for its row first, in the partner's list, since nothing else can be asked by IMEI.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

import msgspec

from app.adapters.contract import Answer, Batch, Failing, Holding, Kind, Op, Order, Outcome, Wire, expect
from app.adapters.reading import Reader, document, entries, whole
from app.adapters.settings import END, Path, Secret, Url
from app.core.imei import asked

_REF = re.compile(r"[1-9][0-9]{0,17}")
_EXACT, _BLACK = 0, 1
_FIFTEENTH: Mapping[str, Callable[[str], str]] = {
    "check": lambda imei: imei,
    "zero": lambda imei: f"{imei[:14]}0",
    "none": lambda imei: imei[:14],
}

# An inventory serves every repeat of calls that ended a moment before it was begun: clocks differ a little.
_CLOCKS = timedelta(seconds=1)
_FRESH = timedelta(seconds=30)

# What is read in pages while rows are being deleted may skip a row: what is not there is looked for twice.
_LOOKS = 2
_ROWS_A_LOOK = 20


class EirRestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EIR matches exactly: `fifteenth_digit` is written as the operator's core asks."""

    url: Annotated[Url, msgspec.Meta(description="the partner's address, like https://eir.example:8080")]
    provisioning_key: Annotated[
        Secret,
        msgspec.Meta(
            pattern=f"^[!-~]([ -~]*[!-~])?{END}", description="the key that may change rows, in ASCII"
        ),
    ]
    path: Path = "/eir"
    fifteenth_digit: Annotated[
        Literal["check", "zero", "none"],
        msgspec.Meta(
            description="check (the check digit), zero, or none (14 digits): as the operator's core asks the EIR"
        ),
    ] = "check"
    rows_per_page: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=5000, description="how many rows of the list to ask for at once, 0 (all of them) to 5000"
        ),
    ] = 1000


class _Row(msgspec.Struct, frozen=True):
    eir_id: Annotated[int, msgspec.Meta(ge=1, lt=10**18)]
    imei: str | None = None
    imsi: str | None = None
    regex_mode: int | None = None
    match_response_code: int | None = None

    @property
    def blocks(self) -> bool:
        """Whether it has every attribute that our rows have: exactly this IMEI, with whatever SIM."""
        return not self.imsi and self.regex_mode == _EXACT and self.match_response_code == _BLACK


class _Looked(msgspec.Struct, frozen=True):
    """What an inventory that was begun at a time had of rows like ours: ids by IMEI."""

    at: datetime
    rows: dict[str, list[int]]

    def serves(self, batch: Batch) -> bool:
        ended = batch.tried is not None and batch.tried + _CLOCKS < self.at
        return ended and batch.at < self.at + _FRESH


class EirRest:
    """One operator's EIR."""

    kind: ClassVar[str] = "eir_rest"
    title: ClassVar[str] = "REST EIR with row ids (PyHSS), one device a call"
    settings: ClassVar[type[msgspec.Struct]] = EirRestSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False

    def __init__(self, settings: EirRestSettings) -> None:
        self._address = settings.url.rstrip("/") + settings.path.rstrip("/") + "/"
        self._headers = {"provisioning-key": settings.provisioning_key}
        self._written = _FIFTEENTH[settings.fifteenth_digit]
        self._size = settings.rows_per_page
        self._reader = Reader(settings.provisioning_key)
        self._looked: _Looked | None = None
        self._looking = asyncio.Lock()

    @property
    def batch_size(self) -> int:
        return 1

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        tell = self._block if batch.op is Op.BLOCK else self._release
        return [await tell(order, batch, wire) for order in batch.orders]

    async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
        """The IMEIs that it blocks with whatever SIM; what a pattern blocks is not listed one by one."""
        rows = await self._rows(wire, at)
        return [
            Holding(row.imei, str(row.eir_id)) for row in rows if row.blocks and row.imei and asked(row.imei)
        ]

    async def _block(self, order: Order, batch: Batch, wire: Wire) -> Answer:
        imei = self._written(order.imei)
        if batch.tried is not None and (ids := await self._look(imei, batch, wire)):
            # Of several rows none may outlive the release: without a reference, that finds all of them.
            return self._reader.answer(Outcome.ALREADY, "found", ref=ids[0] if len(ids) == 1 else "")
        row = {"imei": imei, "imsi": "", "regex_mode": _EXACT, "match_response_code": _BLACK}
        reply = await wire.send(
            "PUT",
            self._address,
            headers={**self._headers, "content-type": "application/json", "idempotency-key": batch.key},
            body=msgspec.json.encode(row),
        )
        (made,) = entries([document(expect(reply, batch.at).body)], _Row)
        if made.imei == imei and made.blocks:
            return self._reader.answer(Outcome.DONE, reply.status, ref=made.eir_id)
        return self._reader.answer(Outcome.UNKNOWN, reply.status, "the answer is another row")

    async def _look(self, imei: str, batch: Batch, wire: Wire) -> list[int]:
        """The ids of rows like ours for an IMEI, in an inventory that is newer than the try."""
        async with self._looking:
            if self._looked is None or not self._looked.serves(batch):
                found: dict[str, list[int]] = {}
                for row in await self._rows(wire, batch.at):
                    if row.blocks and row.imei:
                        found.setdefault(row.imei, []).append(row.eir_id)
                self._looked = _Looked(batch.at, found)
            return self._looked.rows.get(imei, [])

    async def _release(self, order: Order, batch: Batch, wire: Wire) -> Answer:
        imei = self._written(order.imei)
        if not _REF.fullmatch(order.ref):
            return await self._clear(lambda row: row.imei == imei and row.blocks, batch, wire)
        if await self._delete(order.ref, batch, wire):
            return self._reader.answer(Outcome.DONE, "deleted")
        return await self._clear(lambda row: str(row.eir_id) == order.ref, batch, wire)

    async def _clear(self, is_meant: Callable[[_Row], bool], batch: Batch, wire: Wire) -> Answer:
        """Deletes rows of the list, until none that is meant is left in it."""
        deleted = 0
        for _ in range(_LOOKS):
            rows = [row for row in await self._rows(wire, batch.at) if is_meant(row)]
            gone = [await self._delete(str(row.eir_id), batch, wire) for row in rows[:_ROWS_A_LOOK]]
            deleted += sum(gone)
        if sum(gone) < len(rows):
            return self._reader.answer(Outcome.RETRY, "left", "rows of this IMEI are still in the list")
        return self._reader.answer(*((Outcome.DONE, "deleted") if deleted else (Outcome.ALREADY, "absent")))

    async def _delete(self, ref: str, batch: Batch, wire: Wire) -> bool:
        """Whether the partner says that it did. 404 may mean another address as well as no such row, and PyHSS
        answers `null` to a row that is not there as to some failures: neither is proof."""
        headers = {**self._headers, "idempotency-key": batch.key}
        reply = await wire.send("DELETE", self._address + ref, headers=headers)
        if reply.status == 404 or not expect(reply, batch.at).body.strip():
            return False
        said = document(reply.body)
        if said is None:
            return False
        if isinstance(said, dict) and said.get("Result") == "OK":
            return True
        raise Failing("the answer to a deletion is not one that we understand")

    async def _rows(self, wire: Wire, at: datetime) -> list[_Row]:
        """The partner's list, whole."""

        async def page(number: int) -> list[_Row]:
            # Without a size PyHSS gives the first rows only; 0 is all of them.
            query = f"list?page={number}&page_size={self._size}"
            reply = await wire.send("GET", self._address + query, headers=self._headers)
            return entries(document(expect(reply, at).body), _Row)

        return await (whole(page, lambda row: row.eir_id, self._size) if self._size else page(0))
