"""What follows from events, in the database: who waits for whom, which pallet a device is taken off, and when."""

from __future__ import annotations

import asyncio
import hashlib
import io

import pytest

from app.core import imei
from app.core.db import transaction
from app.devices.incoming import here
from app.devices.intake import Defaults, Format, read
from app.devices.receipts import Terms
from app.devices.register import MET_ANOTHER, register
from app.incidents.tidings import carry
from app.movements import capture
from app.movements.store import Behaviour

from .conftest import NOW
from .test_movements import phone, reads, received


def number(phone_number: int) -> str:
    """The IMEI of `phone(phone_number)`."""
    return imei.full(35_209900_000000 + phone_number)


@pytest.fixture
def accepts(pool, warehouse):
    async def accept(*events, behaviour=Behaviour.ROLLBACK) -> int:
        said = {"behaviour": behaviour, "digest": bytes(32), "now": NOW}
        return await transaction(pool, lambda conn: capture.accept(conn, warehouse, reads(*events), **said))

    return accept


@pytest.fixture
def works(pool):
    """Works as the worker does, until nothing is left."""

    async def work() -> None:
        while await transaction(pool, lambda conn: capture.work(conn, carry, NOW), also=MET_ANOTHER):
            pass

    return work


@pytest.fixture
def failures(pool, warehouse):
    """How a capture failed, once it is finished."""

    async def ask(capture_id: int):
        async with pool.acquire() as conn:
            found = await capture.find(conn, warehouse, capture_id)
        assert found.finished_at is not None
        return found.failures

    return ask


@pytest.fixture
def tells(accepts, works, failures):
    """Captures these events, all of which are stored."""

    async def tell(*events) -> None:
        capture_id = await accepts(*events)
        await works()
        assert await failures(capture_id) == []

    return tell


async def upload(conn, actor, *imeis: str) -> None:
    body = "\n".join(["imei1", *imeis, ""]).encode()
    goods = here(read(io.BytesIO(body), Format.CSV, Defaults(), {}))
    await register(conn, actor, goods, Terms("test", hashlib.sha256(body).digest()), now=NOW)


async def somebody_waits(pool) -> None:
    async with asyncio.timeout(20):
        while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_an_event_that_meets_an_upload_is_carried_out_after_it(
    accepts, works, failures, pool, warehouse, behaviour
):
    async with pool.acquire() as conn, conn.transaction():
        await upload(conn, warehouse, number(1))
    capture_id = await accepts(received(1, epcList=[phone(1), phone(2), phone(3)]), behaviour=behaviour)
    async with pool.acquire() as conn, conn.transaction():
        await upload(conn, warehouse, number(2))
        working = asyncio.create_task(works())
        await somebody_waits(pool)
    await working
    assert await failures(capture_id) == []
    assert await pool.fetchval("SELECT count(*) FROM device") == 3
    assert await pool.fetchval("SELECT count(*) FROM epcis_event") == 1
