"""A partner's connections: those that nobody uses any more are closed, and those in use are not."""

import asyncio

import msgspec

from app.core.db import transaction
from app.delivery import asking, partners
from app.delivery.contacts import Contacts
from app.delivery.partners import Limits

from .conftest import utc_now


class Wire:
    """A way to a partner of which it is known whether it is open."""

    def __init__(self, wires):
        self.open = True
        wires.append(self)

    async def close(self):
        self.open = False


def _contacts(town):
    wires = []
    return Contacts(lambda _: Wire(wires), town.keyring), wires


async def _limited(pool, number, inflight):
    limits = Limits(max_inflight=inflight)
    await pool.execute(
        "UPDATE partner SET max_inflight = $2 WHERE partner_id = $1", number, limits.max_inflight
    )


async def _still():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_of_many_changes_one_connection_is_left(town, pool):
    number = await town.partner("webhook")
    contacts, wires = _contacts(town)
    async with pool.acquire() as conn:
        for inflight in range(1, 11):
            await _limited(pool, number, inflight)
            await contacts.of(conn, number)
    await _still()
    assert [wire.open for wire in wires] == [False] * 9 + [True]
    await contacts.close()
    assert not any(wire.open for wire in wires)


async def test_a_call_under_way_keeps_its_connection(town, pool):
    number = await town.partner("webhook")
    contacts, wires = _contacts(town)
    async with pool.acquire() as conn:
        in_use = await contacts.of(conn, number)
        await _limited(pool, number, 3)
        await contacts.of(conn, number)
        await _still()
        assert [wire.open for wire in wires] == [True, True]
        del in_use
        await _still()
        assert [wire.open for wire in wires] == [False, True]
    await contacts.close()


async def test_a_partner_that_was_removed_is_left(town, pool):
    number = await town.partner("webhook")
    contacts, wires = _contacts(town)
    async with pool.acquire() as conn:
        await contacts.of(conn, number)
    async with town.worker(slots=0) as worker:
        desk = msgspec.structs.replace(worker, contacts=contacts)
        await asking.step(desk)
        await _still()
        assert wires[0].open
        await transaction(pool, lambda conn: partners.remove(conn, number, utc_now()))
        await asking.step(desk)
        await _still()
    assert not wires[0].open
    await contacts.close()


async def test_connections_that_a_worker_has_called_over_are_closed(town, pool, keys):
    """Nothing that a lane leaves behind keeps them."""
    number = await town.partner("webhook")
    incident = await town.incident()
    async with town.worker() as desk:
        for inflight in range(1, 5):
            await _limited(pool, number, inflight)
            await town.block(incident, keys(inflight * 3))
            await town.settled(incident)
        async with asyncio.timeout(5):
            while len(desk.contacts._open) > 1:
                await asyncio.sleep(0.05)
