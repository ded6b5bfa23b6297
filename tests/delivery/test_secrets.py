"""Partners' secrets in the database: sealed for their row, used by the worker, sealed anew, and missed aloud."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from app.access.roles import Principal, Role
from app.core.db import transaction
from app.core.keyring import Keyring, Locked
from app.delivery import partners
from app.delivery.partners import Limits, LimitsChange
from app.delivery.reseal import reseal
from app.sandbox.faults import Faults

NOW = datetime(2026, 12, 22, tzinfo=UTC)
ADMIN = Principal("k_admin", "Admin", Role.ADMIN)
NONE = Keyring([], random.Random(1).randbytes)
OTHER = Keyring([b"o" * 32], random.Random(1).randbytes)


async def _stored(pool, name: str = "ceir") -> dict:
    return dict(await pool.fetchval("SELECT settings FROM partner WHERE name = $1", name))


async def test_a_secret_is_stored_sealed_and_the_rest_is_not(town, pool):
    number = await town.partner("ceir")
    async with pool.acquire() as conn:
        partner = await partners.find(conn, number)
    stored = await _stored(pool)
    assert stored["password"].keys() == {"$sealed"}
    assert stored["url"].startswith("http://127.0.0.1:")
    plain = partner.opened(town.keyring).settings["password"]
    assert plain not in await pool.fetchval("SELECT string_agg(p::text, '') FROM partner AS p")
    assert partner.public["password"] == "•••"


async def test_a_secret_of_another_row_opens_nothing(town, pool):
    first = await town.partner("webhook")
    second = await town.partner("webhook", name="second")
    await pool.execute(
        "UPDATE partner SET settings = (SELECT settings FROM partner WHERE partner_id = $1) WHERE partner_id = $2",
        first,
        second,
    )
    async with pool.acquire() as conn:
        assert (await partners.find(conn, first)).opened(town.keyring)
        with pytest.raises(Locked, match=f"partner {second}, settings/secret"):
            (await partners.find(conn, second)).opened(town.keyring)


async def test_a_missing_key_fails_its_partner_aloud_and_no_other(town, pool, keys, names):
    await town.partner("webhook")
    async with pool.acquire() as conn, conn.transaction():
        number = await partners.add(
            conn, name="locked", adapter="webhook", scope=partners.PartnerScope(), limits=Limits(), now=NOW,
            settings={"url": "http://127.0.0.1:9", "secret": "whsec_" + "c2VjcmV0" * 5},
            keyring=OTHER, allow_private=True,
        )  # fmt: skip
    await town.partner("eir_push")
    incident = await town.incident()
    await town.block(incident, keys(60))
    async with town.worker():

        async def health() -> partners.Partner:
            async with pool.acquire() as conn:
                return await partners.find(conn, number)

        await town.until(incident, lambda all_: all_["webhook"].settled and all_["eir_push"].settled)
        async with asyncio.timeout(10):
            while (await health()).failures < partners.BREAKER_OPENS_AT:
                await asyncio.sleep(0.05)
        found = await health()
    assert not found.paused
    assert "the secret at" in found.last_fault.lower()
    assert "IMEI_GATEWAY_SECRETS_KEY" in found.last_fault
    assert town.blocked("webhook") == town.blocked("eir_push") == names(keys(60))
    # Once its key is there, nobody has to do anything more.
    both = Keyring([b"k" * 32, b"o" * 32], random.Random(2).randbytes)
    async with town.worker(keyring=both), asyncio.timeout(15):
        while (await health()).last_fault != "connection refused":
            await asyncio.sleep(0.05)


async def test_what_was_stored_before_there_were_keys_is_used_as_it_is(town, pool, keys, names):
    number = await town.partner("ceir")
    async with pool.acquire() as conn:
        plain = (await partners.find(conn, number)).opened(town.keyring).settings
        await conn.execute("UPDATE partner SET settings = $1", plain)
    incident = await town.incident()
    await town.block(incident, keys(10))
    async with town.worker(keyring=NONE):
        await town.settled(incident)
    assert town.blocked("ceir") == names(keys(10))


async def test_secrets_are_sealed_anew_once_and_on_the_record(town, pool):
    number = await town.partner("ceir")
    new = Keyring([b"n" * 32, b"k" * 32], random.Random(4).randbytes)
    async with pool.acquire() as conn:
        before = (await partners.find(conn, number)).opened(town.keyring).settings
    again = [await transaction(pool, lambda conn: reseal(conn, number, new, ADMIN, NOW)) for _ in range(2)]
    assert again == [True, False]
    only_new = Keyring([b"n" * 32], random.Random(4).randbytes)
    async with pool.acquire() as conn:
        assert (await partners.find(conn, number)).opened(only_new).settings == before
    said = await pool.fetch("SELECT body FROM audit_entry WHERE kind = 'partner.sealed'")
    assert len(said) == 1
    assert new.first in said[0]["body"]
    assert before["password"] not in said[0]["body"]


async def test_what_was_stored_open_is_sealed_by_the_same(town, pool):
    number = await town.partner("ceir")
    async with pool.acquire() as conn:
        plain = (await partners.find(conn, number)).opened(town.keyring).settings
        await conn.execute("UPDATE partner SET settings = $1", plain)
    assert await transaction(pool, lambda conn: reseal(conn, number, town.keyring, ADMIN, NOW))
    assert (await _stored(pool))["password"].keys() == {"$sealed"}
    async with pool.acquire() as conn:
        assert (await partners.find(conn, number)).opened(town.keyring).settings == plain


async def test_without_a_key_no_secret_is_stored_and_all_else_can_be_changed(town, pool):
    number = await town.partner("ceir")
    before = await _stored(pool)
    async with pool.acquire() as conn:
        found = await partners.find(conn, number)
        with pytest.raises(Locked, match="IMEI_GATEWAY_SECRETS_KEY"):
            await partners.change(conn, found, keyring=NONE, now=NOW, settings={"password": "another-one"})
        await partners.change(conn, found, keyring=NONE, now=NOW, limits=LimitsChange(max_inflight=1))
        assert (await partners.find(conn, number)).limits.max_inflight == 1
    assert await _stored(pool) == before


async def test_a_secret_whose_key_is_lost_can_be_set_anew(town, pool):
    number = await town.partner("ceir")
    async with pool.acquire() as conn:
        found = await partners.find(conn, number)
        await partners.change(conn, found, keyring=OTHER, now=NOW, settings={"password": "another-one"})
        assert (await partners.find(conn, number)).opened(OTHER).settings["password"] == "another-one"


async def test_the_same_secret_again_is_no_change(town, pool):
    number = await town.partner("ceir")
    before = await _stored(pool)
    async with pool.acquire() as conn:
        found = await partners.find(conn, number)
        same = {"password": found.opened(town.keyring).settings["password"]}
        await partners.change(conn, found, keyring=town.keyring, now=NOW, settings=same)
    assert await _stored(pool) == before


async def test_wrong_credentials_are_tried_once(town, keys, pool):
    await town.partner("ceir", change={"password": "wrong"}, faults=Faults(latency_ms=100))
    incident = await town.incident()
    await town.block(incident, [keys(1)[0] + number for number in range(200)])
    async with town.worker():
        async with asyncio.timeout(10):
            while not await pool.fetchval("SELECT paused FROM partner"):
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
    assert town.stages["ceir"].ledger.calls == 1
    assert await pool.fetchval("SELECT count(*) FROM audit_entry WHERE kind = 'partner.paused'") == 1
    assert "HTTP 401" in await pool.fetchval("SELECT pause_reason FROM partner")
