"""Tokens against a real database."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

from app.access import keys, tokens
from app.access.roles import Permission, Principal, Role

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
DICE = Random(6749)


async def holder(conn: Any) -> Principal:
    made = await keys.create(conn, name="Carrier", role="carrier", by="cli", now=NOW, random=DICE.randbytes)
    return Principal(made.key_id, "Carrier", Role.CARRIER)


async def issued(conn: Any, holder: Principal, *, seconds: int = 60) -> tokens.Grant:
    return await tokens.issue(
        conn, holder, ["status:read"], seconds=seconds, certificate=None, random=DICE.randbytes
    )


async def whose(conn: Any, *grants: tokens.Grant) -> list[Principal | None]:
    claims = [tokens.claim(grant.token, None) for grant in grants]
    return list(map(await tokens.recognised(conn, claims), claims))


async def test_only_the_hash_of_a_token_is_stored_and_its_repr_hides_it(conn: Any) -> None:
    made = await issued(conn, await holder(conn))
    row = await conn.fetchrow("SELECT *, access_token::text AS whole FROM access_token")
    secret = made.token.removeprefix(tokens.PREFIX)
    assert row["token_hash"] == tokens.claim(made.token, None).digest
    assert secret not in row["whole"]
    assert secret not in repr(made)


async def test_each_of_many_that_ask_together_is_who_he_is(conn: Any) -> None:
    people = [await holder(conn) for _ in range(3)]
    grants = [await issued(conn, somebody) for somebody in people]
    stranger = tokens.Grant(tokens.PREFIX + "x" * 43, (), 60)
    found = await whose(conn, *grants, stranger)
    assert [one and one.key_id for one in found] == [*(somebody.key_id for somebody in people), None]
    assert all(one.scopes == {Permission.STATUS_READ} for one in found if one)


async def test_a_key_that_has_too_many_tokens_loses_those_that_would_end_first(
    conn: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tokens, "MOST", 3)
    somebody, other = await holder(conn), await holder(conn)
    untouched = await issued(conn, other, seconds=60)
    grants = [await issued(conn, somebody, seconds=seconds) for seconds in (300, 100, 200, 400, 500)]
    live = [one is not None for one in await whose(conn, *grants, untouched)]
    assert live == [True, False, False, True, True, True]


async def test_what_is_over_is_forgotten(conn: Any) -> None:
    somebody = await holder(conn)
    over, live = await issued(conn, somebody), await issued(conn, somebody)
    await conn.execute(
        "UPDATE access_token SET expires_at = now() WHERE token_hash = $1",
        tokens.claim(over.token, None).digest,
    )
    assert await whose(conn, over) == [None]
    assert await tokens.forget(conn) == 1
    assert await tokens.forget(conn) == 0
    assert [one is not None for one in await whose(conn, over, live)] == [False, True]


async def test_a_permission_that_this_release_does_not_know_is_none(conn: Any) -> None:
    made = await issued(conn, await holder(conn))
    await conn.execute("UPDATE access_token SET scopes = '{status:read,of-a-later-release}'")
    [found] = await whose(conn, made)
    assert found
    assert found.scopes == {Permission.STATUS_READ}
