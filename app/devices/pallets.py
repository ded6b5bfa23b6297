"""A pallet at the dock: what was announced on it, what has arrived, what is missing and what is surplus."""

from __future__ import annotations

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.devices.naming import by_sscc

_SQL = queries("moves")
_MOST_LISTED = 1000


class Unit(msgspec.Struct, frozen=True):
    """One device, as a person at the dock would look for it: `pallet` is where it stands, or is to stand;
    `announced_for` is the pallet that it was announced for, '' where it was not."""

    id: int
    imeis: list[str]
    serial: str
    gtin: str
    pallet: str
    announced_for: str


class Reconciliation(msgspec.Struct, frozen=True):
    """An SSCC as announced and as it came, with the cartons that stand on it. `missing`: announced for it and not
    seen anywhere; `elsewhere`: announced for it and arrived on another pallet; `surplus`: arrived on it and not
    announced for it. Each list holds the first 1,000; the counts are whole."""

    pallet: str
    announced: int
    arrived: int
    missing_count: int
    elsewhere_count: int
    surplus_count: int
    missing: list[Unit]
    elsewhere: list[Unit]
    surplus: list[Unit]

    @property
    def complete(self) -> bool:
        """Whether everything that was announced is here, and nothing else."""
        return not (self.missing_count or self.elsewhere_count or self.surplus_count)


async def reconcile(conn: Connection, actor: Principal, pallet: str) -> Reconciliation:
    """Compares what was announced with what came. A pallet that was never announced has no surplus. Raises
    Invalid, Forbidden."""
    actor.require(Permission.DEVICES_READ)
    sscc = by_sscc(pallet)
    rows = await conn.fetch(_SQL.announced_for, sscc)
    announced = [row for row in rows if row["announced"]]
    here = [row for row in rows if row["arrived"] and row["here"]]
    missing = [row for row in announced if not row["arrived"]]
    elsewhere = [row for row in announced if row["arrived"] and not row["here"]]
    surplus = [row for row in here if not row["announced"]] if announced else []
    return Reconciliation(
        sscc, len(announced), len(here), len(missing), len(elsewhere), len(surplus),
        _units(missing), _units(elsewhere), _units(surplus),
    )  # fmt: skip


def _units(rows: list[asyncpg.Record]) -> list[Unit]:
    return [
        Unit(
            id=row["device_id"],
            imeis=[imei.full(key) for key in row["keys"] if key >= 0],
            **{field: row[field] for field in ("serial", "gtin", "pallet", "announced_for")},
        )
        for row in rows[:_MOST_LISTED]
    ]
