"""API keys against a real database."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from app.access import keys
from app.access.roles import Principal, Role
from app.core.errors import Conflict, Invalid, Missing, Unauthorised

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def make(conn: Any) -> Any:
    dice = Random(6962).randbytes

    async def make(role: str = "goods-in", name: str = "Night shift", on: Any = conn) -> keys.NewKey:
        return await keys.create(on, name=name, role=role, by="cli", now=NOW, random=dice)

    return make


async def test_a_key_is_recognised_with_its_role_and_name(conn: Any, make: Any) -> None:
    for role in Role:
        made = await make(role, name=f"  {role} of Roissy ")
        assert re.fullmatch(r"imei_k_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", made.key)
        assert await keys.authenticate(conn, made.key) == Principal(made.key_id, f"{role} of Roissy", role)


async def test_only_the_hash_of_a_key_is_stored_and_its_repr_hides_it(conn: Any, make: Any) -> None:
    made = await make()
    row = await conn.fetchrow("SELECT *, api_key::text AS whole FROM api_key")
    secret = made.key.removeprefix(f"imei_{made.key_id}_")
    assert row["secret_hash"] == hashlib.sha256(made.key.encode()).digest()
    assert secret not in row["whole"]
    assert secret not in repr(made)


@pytest.mark.parametrize(
    ("name", "role", "codes", "says"),
    [
        ("Night", "root", ["key-role"], "goods-in, incident-manager, approver, carrier, auditor, admin"),
        ("  ", "admin", ["key-name"], "The name of the key is empty"),
        ("x" * 81, "admin", ["key-name"], "has 81 characters; it would be 1 to 80"),
        ("Night\x00", "admin", ["key-name"], "control or invisible characters"),
        ("Night\nadmin", "admin", ["key-name"], "control or invisible characters"),
        ("Night\u202eshift", "admin", ["key-name"], "control or invisible characters"),
        ("", "", ["key-name", "key-role"], "empty"),
    ],
)
async def test_a_wrong_name_or_role_is_refused(
    conn: Any, make: Any, name: str, role: str, codes: list[str], says: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await make(role, name=name)
    assert [flaw.code for flaw in refusal.value.flaws] == codes
    assert says in refusal.value.flaws[0].detail
    assert await keys.listed(conn) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "imei_",
        "Bearer x",
        "imei_k_aaaaaaaa_short",
        "imei_k_AAAAAAAA_" + "a" * 43,
        "imei_k_aaaaaaaa_" + "a" * 44,
        "imei_k_aaaaaaaa_" + "a" * 43 + "\n",
        "imei_k_aaaaaaaa_" + "é" * 43,
        "' OR 1=1 --",
        "\x00" * 59,
    ],
)
async def test_a_malformed_key_never_reaches_the_database(key: str) -> None:
    nowhere: Any = None
    with pytest.raises(Unauthorised) as refusal:
        await keys.authenticate(nowhere, key)
    assert refusal.value.code == "key-malformed"
    assert len(key) < 10 or key not in refusal.value.detail


async def test_wrong_unknown_and_revoked_keys_hear_the_same(conn: Any, make: Any) -> None:
    live, ended = await make(), await make()
    await keys.revoke(conn, ended.key_id, "cli", LATER)
    wrong = live.key[:-1] + ("A" if live.key[-1] != "A" else "B")
    crossed = live.key.replace(live.key_id, ended.key_id)
    heard = set()
    for key in (wrong, crossed, f"imei_k_aaaaaaaa_{'a' * 43}", ended.key):
        with pytest.raises(Unauthorised) as refusal:
            await keys.authenticate(conn, key)
        heard.add((refusal.value.code, refusal.value.detail))
    assert [code for code, _ in heard] == ["key-unknown"]
    assert (await keys.authenticate(conn, live.key)).key_id == live.key_id


async def test_revoking_acts_at_once_and_twice_is_once(conn: Any, make: Any) -> None:
    made = await make()
    assert await keys.revoke(conn, made.key_id, "key:k_one (Ada)", LATER) is True
    with pytest.raises(Unauthorised):
        await keys.authenticate(conn, made.key)
    assert await keys.revoke(conn, made.key_id, "key:k_two (Bob)", LATER + timedelta(days=1)) is False
    [listed] = await keys.listed(conn)
    assert (listed.revoked_at, listed.revoked_by) == (LATER, "key:k_one (Ada)")


async def test_revoking_what_is_not_there(conn: Any) -> None:
    with pytest.raises(Missing, match="no key of that id"):
        await keys.revoke(conn, "k_aaaaaaaa", "cli", NOW)


async def test_the_list_shows_all_keys_and_no_hash(conn: Any, make: Any) -> None:
    first, second = await make("admin", name="Ada"), await make("carrier", name="Orange")
    listed = await keys.listed(conn)
    assert {key.key_id: key.role for key in listed} == {
        first.key_id: Role.ADMIN,
        second.key_id: Role.CARRIER,
    }
    assert (listed[0].created_at, listed[0].created_by, listed[0].revoked_at) == (NOW, "cli", None)
    assert not hasattr(listed[0], "secret_hash")


async def test_the_last_live_admin_key_stays(conn: Any, make: Any) -> None:
    assert not await keys.has_admin(conn)
    await make("auditor")
    assert not await keys.has_admin(conn)
    first, second = await make("admin"), await make("admin")
    assert await keys.has_admin(conn)
    assert await keys.revoke(conn, first.key_id, "cli", LATER)
    with pytest.raises(Conflict, match="last live admin key; make another") as refusal:
        await keys.revoke(conn, second.key_id, "cli", LATER)
    assert refusal.value.code == "last-admin"
    assert await keys.revoke(conn, first.key_id, "cli", LATER) is False
    assert await keys.has_admin(conn)


async def test_two_admins_who_revoke_each_other_leave_one(database: str, make: Any) -> None:
    one, other = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        first, second = await make("admin", on=one), await make("admin", on=one)
        begun = one.transaction()
        await begun.start()
        assert await keys.revoke(one, first.key_id, "second", LATER)
        waiting = asyncio.create_task(_revoke(other, second.key_id))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await begun.commit()
        with pytest.raises(Conflict):
            await waiting
        assert await keys.has_admin(one)
    finally:
        await one.close()
        await other.close()


async def _revoke(conn: Any, key_id: str) -> bool:
    async with conn.transaction():
        return await keys.revoke(conn, key_id, "first", LATER)
