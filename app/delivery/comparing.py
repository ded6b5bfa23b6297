"""What a partner holds is compared with what it was told, and the difference told again; or it gets the whole list."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.adapters.contract import Holds
from app.core.db import Connection, transaction
from app.core.sql import queries
from app.delivery import again, confirm, whole_list
from app.delivery.send import Desk
from app.delivery.turn import Turn, must_be_ours

_AGAIN = queries("again")


class Reconciled(msgspec.Struct, frozen=True):
    """What came of asking a partner what it holds: so many identifiers, of anybody; and of ours, so many that it should
    hold and does not (`missing`), and that it should not and does (`surplus`). Both it is told again. One that takes
    whole lists was given one, of so many as were `listed`."""

    at: datetime
    held: int = 0
    missing: int = 0
    surplus: int = 0
    listed: int | None = None


async def give_list(desk: Desk, turn: Turn) -> Reconciled:
    return Reconciled(desk.now(), listed=await whole_list.publish(desk, turn.contact))


async def compare(desk: Desk, turn: Turn) -> Reconciled:
    contact = turn.contact
    adapter = contact.adapter
    assert isinstance(adapter, Holds)
    holdings = await adapter.holdings(contact.wire, desk.now())

    async def mend(conn: Connection) -> Reconciled:
        names = sorted({holding.name for holding in holdings})
        keys = [key for found in (await confirm.candidates(conn, names)).values() for key in found]
        rows = await conn.fetch(_AGAIN.differing, contact.partner.id, keys)
        blocked = sum(row["blocked"] for row in rows)
        found = Reconciled(desk.now(), len(names), blocked, len(rows) - blocked)
        await again.tell(
            conn, "worker", contact.partner.id, [row["key"] for row in rows], "partner.reconciled",
            {"held": found.held, "missing": found.missing, "surplus": found.surplus}, found.at,
        )  # fmt: skip
        await must_be_ours(conn, turn)
        return found

    return await transaction(desk.pool, mend)
