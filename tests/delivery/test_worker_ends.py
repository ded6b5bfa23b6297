"""A worker that something killed ends soon, so that its supervisor starts another one."""

import asyncio
import time

import pytest

from app import worker
from app.core.db import open_pool
from app.delivery.contacts import Contacts


class _Stuck:
    """Contacts of which one does not close."""

    async def close(self):
        await asyncio.Event().wait()


@pytest.mark.parametrize("stuck", [True, False])
async def test_a_transaction_that_nobody_ends_keeps_no_worker(database, keyring, monkeypatch, stuck):
    monkeypatch.setattr(worker, "CLOSE_WITHIN", 0.3)
    pool = await open_pool(database)
    conn = await pool.acquire()
    await conn.execute("BEGIN; LOCK TABLE partner")
    contacts = _Stuck() if stuck else Contacts(lambda _: None, keyring)
    began = time.monotonic()
    async with asyncio.timeout(5):
        await worker._closed(contacts, pool)
    assert time.monotonic() - began < 2
    other = await open_pool(database)
    await other.execute("BEGIN; SET LOCAL lock_timeout = '2s'; LOCK TABLE partner; COMMIT")
    await other.close()
