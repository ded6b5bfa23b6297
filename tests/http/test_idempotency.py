"""Idempotency-Key: a request that comes again is answered the same, byte for byte, and is not done again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import NoneType
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app import worker
from app.api import openapi
from app.api.openapi import operations
from app.api.routes import application
from app.core.config import Settings
from app.core.db import Pool
from app.replies.reply import Call, Reply, forget, once

from .asking import CSV, decided, drafted, problem, register, stock
from .conftest import Gateway, serving

# POST /v1/status changes nothing; a token is not kept, so it cannot be told again; a try calls a partner, which no
# transaction may span; a partner's confirmations carry no API key, and count once as they are; what people sign in,
# enrol and are added with is shown once.
WITHOUT = {
    "askStatuses", "checkImeiStatus", "checkDevice", "issueToken", "tryPartner", "confirmDeliveries", "signIn",
    "signOut", "endSession", "stepUp", "changePassword", "addPerson", "changePerson", "endPerson", "invitePerson",
    "resetFactor", "enrol", "confirmEnrolment", "finishSignOn",
}  # fmt: skip
WITHOUT |= {"previewIncident"}  # It keeps nothing.
REPLAYED = "idempotency-replayed"
PARTNER = {
    "adapter": "ceir",
    "settings": {"url": "https://ceir.example", "username": "gateway", "password": "a very secret word"},
}


def a_key() -> dict[str, str]:
    return {"idempotency-key": str(uuid4())}


def draft_of(*serials: str) -> dict[str, Any]:
    return {"title": f"Night {uuid4().hex}", "scope": {"serials": list(serials) or ["A"]}}


async def remembered(gateway: Gateway) -> int:
    """How many things are on the audit log."""
    return len((await gateway["admin"].get("/v1/audit/entries", params={"limit": 10_000})).json()["entries"])


async def incidents(gateway: Gateway, title: str) -> int:
    found = (await gateway["admin"].get("/v1/incidents", params={"limit": 10_000})).json()["incidents"]
    return [incident["title"] for incident in found].count(title)


def same(first: httpx.Response, again: httpx.Response) -> None:
    """`again` is a replay of `first`."""
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "location"):
        assert again.headers.get(name) == first.headers.get(name)


@pytest.fixture(scope="module")
async def desk(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway whose audit log nobody else writes."""
    async with serving(cluster, template, tmp_path_factory.mktemp("desk"), "web") as gateway:
        yield gateway


async def twice(gateway: Gateway, role: str, method: str, path: str, **sent: Any) -> httpx.Response:
    """Sends it twice under one key: the second is a replay and leaves no trace."""
    headers = {**sent.pop("headers", {}), **a_key()}
    first = await gateway[role].request(method, path, headers=headers, **sent)
    entries = await remembered(gateway)
    again = await gateway[role].request(method, path, headers=headers, **sent)
    same(first, again)
    assert await remembered(gateway) == entries
    return first


def test_every_route_that_changes_something_takes_a_key():
    unsafe = {
        str(it.handler.operation_id): it
        for it in operations(application())
        if it.method not in ("get", "options")
    }
    assert {name for name, it in unsafe.items() if not it.is_once} == WITHOUT


def test_no_answer_that_is_kept_shows_a_secret():
    document = openapi.document(application())
    answers = {
        it.answer.__name__: document["components"]["schemas"][it.answer.__name__]
        for it in operations(application())
        if it.is_once and it.answer is not NoneType
    }
    told = {field for schema in answers.values() for field in schema["properties"]}
    assert len(answers) == 17
    assert not told & {"key", "secret", "password", "token"}


async def test_every_kind_of_request_is_done_once(desk):
    goods = stock(3)
    receipt = await twice(desk, "goods-in", "POST", "/v1/receipts", content=goods.csv, headers=CSV)
    assert (receipt.status_code, receipt.json()["registered"]) == (201, 3)
    said = {"title": "Paris", "scope": {"pallets": [goods.pallet]}}
    draft = await twice(desk, "incident-manager", "POST", "/v1/incidents", json=said)
    path = draft.headers["location"]
    for role, verb, sent, state in (
        ("incident-manager", "submit", {}, "submitted"),
        ("approver", "approve", {}, "approved"),
        ("approver", "lift", {"json": {"scope": {"imeis": goods.imeis[:1]}}}, "approved"),
        ("incident-manager", "withdraw", {"json": {"reason": "found"}}, "withdrawn"),
    ):
        done = await twice(desk, role, "POST", f"{path}/{verb}", **sent)
        assert (done.status_code, done.json()["state"]) == (200, state), done.text
    other = await drafted(desk["incident-manager"], imeis=goods.imeis[2:3])
    await decided(desk["incident-manager"], other, "submit")
    path = f"/v1/incidents/{other}/reject"
    assert (await twice(desk, "approver", "POST", path, json={"reason": "no"})).status_code == 200


async def test_a_partner_is_added_and_changed_once_and_its_secrets_are_not_kept(desk):
    added = await twice(desk, "admin", "POST", "/v1/partners", json={"name": "Register", **PARTNER})
    path = added.headers["location"]
    change = {"paused": True, "reason": "Noon", "settings": {"password": "another very secret word"}}
    assert (await twice(desk, "admin", "PATCH", path, json=change)).json()["paused"] is True
    conn = await asyncpg.connect(desk.dsn)
    kept = await conn.fetch("SELECT r::text AS row, convert_from(r.body, 'UTF8') AS body FROM reply AS r")
    await conn.close()
    assert kept
    assert not [row for row in kept if "very secret" in row["row"] + row["body"]]


async def test_what_a_rule_refused_stays_refused_under_its_key(desk):
    manager, approver, headers = desk["incident-manager"], desk["approver"], a_key()
    number = await drafted(manager, serials=["A"])
    path = f"/v1/incidents/{number}/approve"
    refused = await approver.post(path, headers=headers)
    problem(refused, 409, "incident-state")
    await decided(manager, number, "submit")
    same(refused, await approver.post(path, headers=headers))
    assert (await approver.post(path, headers=a_key())).status_code == 200


async def test_refusals_are_told_again_and_leave_nothing(desk):
    admin = desk["admin"]
    mine = await drafted(admin, serials=["B"])
    await decided(admin, mine, "submit")
    problem(await twice(desk, "admin", "POST", f"/v1/incidents/{mine}/approve"), 403, "second-person")
    problem(await twice(desk, "admin", "POST", "/v1/incidents/987654321/approve"), 404)
    # The database itself refuses a name that is taken, and will hear of nothing else in that transaction.
    said = {"name": "Taken", **PARTNER}
    assert (await admin.post("/v1/partners", json=said)).status_code == 201
    problem(await twice(desk, "admin", "POST", "/v1/partners", json=said), 409)
    empty = await drafted(admin, pallets=[stock(1).pallet])
    problem(await twice(desk, "admin", "POST", f"/v1/incidents/{empty}/submit"), 409, "incident-empty")
    assert (await admin.get(f"/v1/incidents/{empty}")).json()["state"] == "draft"


async def test_what_was_sent_wrong_may_be_sent_right_under_the_same_key(desk):
    manager, headers = desk["incident-manager"], a_key()
    said = draft_of()
    problem(await manager.post("/v1/incidents", content=b"{", headers={**headers, **CSV}), 415)
    problem(await manager.post("/v1/incidents", json={"title": "no scope"}, headers=headers), 400)
    wrong = {"title": "t", "scope": {"imeis": ["490154203237517"]}}
    problem(await manager.post("/v1/incidents", json=wrong, headers=headers), 400)
    problem(await desk["nobody"].post("/v1/incidents", json=said, headers=headers), 401)
    done = await manager.post("/v1/incidents", json=said, headers=headers)
    assert (done.status_code, REPLAYED in done.headers) == (201, False)


async def test_a_fault_of_ours_leaves_the_key_unused(desk):
    headers, said = a_key(), draft_of()
    conn = await asyncpg.connect(desk.dsn)
    await conn.execute("ALTER TABLE audit_pending RENAME TO away")
    problem(await desk["admin"].post("/v1/incidents", json=said, headers=headers), 500)
    await conn.execute("ALTER TABLE away RENAME TO audit_pending")
    await conn.close()
    done = await desk["admin"].post("/v1/incidents", json=said, headers=headers)
    assert (done.status_code, REPLAYED in done.headers) == (201, False)
    assert await incidents(desk, said["title"]) == 1


async def test_a_key_is_for_one_payload(gateway, goods_in, manager, approver):
    headers, goods = a_key(), stock(2)
    sent = {"content": goods.csv, "headers": {**CSV, **headers}, "params": {"site": "PAR-1"}}
    assert (await goods_in.post("/v1/receipts", **sent)).status_code == 201
    for other in (
        {"content": stock(2).csv},
        {"content": goods.csv + b"\n"},
        {"params": {"site": "LYS-2"}},
        {"params": {}},
        {"headers": {**headers, "content-type": "text/csv; charset=utf-8"}},
    ):
        found = problem(await goods_in.post("/v1/receipts", **{**sent, **other}), 422, "key-reused")
        assert "a key of its own" in found["detail"]
    same_headers, said = a_key(), draft_of()
    assert (await manager.post("/v1/incidents", json=said, headers=same_headers)).status_code == 201
    problem(await manager.post("/v1/incidents", json=draft_of(), headers=same_headers), 422, "key-reused")
    assert (await manager.post("/v1/incidents", json=said, headers=same_headers)).headers[REPLAYED]
    path = f"/v1/incidents/{await drafted(manager, serials=['A'])}/submit"
    assert (await manager.post(path, headers=headers)).status_code == 200
    problem(await manager.post(path, headers=headers, json={"include_sold": True}), 422, "key-reused")


async def test_a_key_is_for_one_caller_one_method_and_one_path(desk):
    headers, said = a_key(), draft_of("C")
    for role in ("incident-manager", "admin"):
        response = await desk[role].post("/v1/incidents", json=said, headers=headers)
        assert (response.status_code, REPLAYED in response.headers) == (201, False)
    again = await desk["admin"].post("/v1/incidents/", json=said, headers=headers)
    same(response, again)
    assert await incidents(desk, said["title"]) == 2
    for number in (await drafted(desk["admin"], serials=["D"]), await drafted(desk["admin"], serials=["E"])):
        assert (
            await desk["admin"].post(f"/v1/incidents/{number}/submit", headers=headers)
        ).status_code == 200


async def test_twenty_at_once_are_one(desk):
    headers, said = a_key(), draft_of("F")
    sent = [desk["admin"].post("/v1/incidents", json=said, headers=headers) for _ in range(20)]
    answers = await asyncio.gather(*sent)
    done = [answer for answer in answers if answer.status_code == 201]
    assert len([answer for answer in done if REPLAYED not in answer.headers]) == 1
    assert len({answer.content for answer in done}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "key-in-flight")
            assert answer.headers["retry-after"] == "1"
    assert await incidents(desk, said["title"]) == 1


async def test_uploads_that_meet_each_other_are_each_done_once(desk):
    goods = stock(40)
    sent = [
        desk["goods-in"].post("/v1/receipts", content=goods.csv, headers={**CSV, **a_key()}) for _ in range(6)
    ]
    answers = [response.json() for response in await asyncio.gather(*sent)]
    assert sum(answer["registered"] for answer in answers) == 40
    assert len({answer["receipt_id"] for answer in answers}) == 6


async def test_after_its_time_a_key_is_new(desk):
    headers, said = a_key(), draft_of("G")
    await desk["admin"].post("/v1/incidents", json=said, headers=headers)
    conn = await asyncpg.connect(desk.dsn)
    kept = await conn.fetchval(
        "SELECT kept_until - now() FROM reply WHERE key = $1", headers["idempotency-key"]
    )
    assert 23.9 < kept.total_seconds() / 3600 <= 24
    await conn.execute("UPDATE reply SET kept_until = now() WHERE key = $1", headers["idempotency-key"])
    other = await desk["admin"].post("/v1/incidents", json={**said, "site": "LYS"}, headers=headers)
    assert (other.status_code, REPLAYED in other.headers) == (201, False)
    assert await incidents(desk, said["title"]) == 2
    await conn.execute("UPDATE reply SET kept_until = now() WHERE key = $1", headers["idempotency-key"])
    stopping = asyncio.Event()
    stopping.set()
    left = await conn.fetchval("SELECT count(*) FROM reply WHERE kept_until > now()")
    await worker.run(Settings(data_dir=None, database_url=desk.dsn), stopping)
    assert await conn.fetchval("SELECT count(*) FROM reply") == left > 0
    await conn.close()


async def test_what_is_past_is_removed_in_bites(pool: Pool):
    now = datetime.now(UTC)
    async with pool.acquire() as conn:
        for number in range(5):
            async with conn.transaction():
                call = Call("k", "POST /", str(number), bytes(32), now, now)
                await once(conn, call, _replies, _refuses)
        assert [await forget(conn, now, 2) for _ in range(4)] == [2, 2, 1, 0]


async def _replies(conn: object) -> Reply:
    return Reply(200, {}, b"{}")


def _refuses(error: Exception) -> Reply:
    raise error


async def test_an_answer_that_is_too_large_is_not_kept_and_is_not_given_twice(desk):
    said = draft_of(*(f"SERIAL-{number:08d}" for number in range(5_000)))
    headers = a_key()
    first = await desk["admin"].post("/v1/incidents", json=said, headers=headers)
    assert (first.status_code, len(first.content) > 64 * 1024) == (201, True)
    again = await desk["admin"].post("/v1/incidents", json=said, headers=headers)
    assert first.headers["location"] in problem(again, 410, "answer-not-kept")["detail"]
    assert (again.headers["location"], again.headers[REPLAYED]) == (first.headers["location"], "true")
    assert await incidents(desk, said["title"]) == 1


@pytest.mark.parametrize(
    "key",
    [
        "", '""', "a b", "a,b", '"a', 'a"b', '"a"b"', '"a\\b"', '"a";p=1', "x" * 256, f'"{"x" * 256}"', "ü", "a\tb",
    ],
)  # fmt: skip
async def test_malformed_keys_are_refused(admin, key):
    headers = {"idempotency-key": key.encode()}
    found = problem(
        await admin.post("/v1/incidents", json=draft_of(), headers=headers), 400, "idempotency-key-malformed"
    )
    assert "1 to 255 printable ASCII characters" in found["detail"]


async def test_a_request_has_one_key(admin):
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]
    found = problem(await admin.post("/v1/incidents", json=draft_of(), headers=headers), 400)
    assert "2 times" in found["detail"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("abc", '"abc"'), ("a\\b", '"a\\\\b"'), ("x" * 255, f'"{"x" * 255}"'), ('"a, \\"b"', '"a, \\"b"')],
)
async def test_quotes_are_not_of_the_key(desk, one, other):
    path = f"/v1/incidents/{await drafted(desk['admin'], serials=['A'])}/withdraw"
    first = await desk["admin"].post(path, json={"reason": "r"}, headers={"idempotency-key": one})
    same(first, await desk["admin"].post(path, json={"reason": "r"}, headers={"idempotency-key": other}))


async def test_who_changes_nothing_needs_no_key(gateway, admin, carrier):
    odd = {"idempotency-key": "a,b"}
    assert (await admin.get("/v1/incidents", headers=odd)).status_code == 200
    for _ in range(2):
        answer = await carrier.post("/v1/status", json={"imeis": ["490154203237518"]}, headers=odd)
        assert (answer.status_code, REPLAYED in answer.headers) == (200, False)


async def test_without_a_key_nothing_is_asked_of_the_replies(cluster, template, tmp_path_factory):
    async with serving(cluster, template, tmp_path_factory.mktemp("plain"), "web") as plain:
        conn = await asyncpg.connect(plain.dsn)
        await conn.execute("ALTER TABLE reply RENAME TO away")
        await conn.close()
        await register(plain["goods-in"], stock(1))
        problem(await plain["admin"].post("/v1/incidents", json=draft_of(), headers=a_key()), 500)
        number = await drafted(plain["admin"], serials=["A"])
        await decided(plain["admin"], number, "submit")
        assert (await plain["admin"].get(f"/v1/incidents/{number}")).json()["state"] == "submitted"
