"""Those who would keep for themselves what others need: a place among the downloads, a key that was taken from them, an
answer that never comes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from h2.settings import SettingCodes

from app.access.roles import Role
from app.api.leftovers import TO_TAKE
from app.blocklist.enquiry import ANSWER_WITHIN
from app.blocklist.export import AT_ONCE, AT_ONCE_BY_ONE

from .asking import decided, drafted, problem, register, stock
from .conftest import Gateway, serving

ASK = "/v1/status/490154203237518"


@pytest.fixture
async def own(cluster: str, template: str, tmp_path: Any) -> AsyncIterator[Gateway]:
    async with serving(cluster, template, tmp_path, "web") as gateway:
        yield gateway


@asynccontextmanager
async def taking_nothing(gateway: Gateway, key: str, streams: int) -> AsyncIterator[None]:
    """Somebody who asks for the whole list, so many times on one HTTP/2 connection, and lets none of it come, but
    answers whatever keeps a connection alive."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    peer = H2Connection(H2Configuration(client_side=True))
    peer.initiate_connection()
    peer.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    for number in range(streams):
        head = [(":method", "GET"), (":path", "/v1/blocklist"), (":scheme", "http"), (":authority", "x")]
        peer.send_headers(2 * number + 1, [*head, ("authorization", f"Bearer {key}")], end_stream=True)

    begun = asyncio.Semaphore(0)

    async def live() -> None:
        while True:
            writer.write(peer.data_to_send())
            for event in peer.receive_data(await reader.read(65_536)):
                if isinstance(event, ResponseReceived):
                    begun.release()

    living = asyncio.create_task(live())
    try:
        async with asyncio.timeout(10):
            for _ in range(streams):
                await begun.acquire()
        yield
    finally:
        living.cancel()
        writer.transport.abort()


async def test_who_takes_nothing_of_a_download_gives_up_his_place(own: Gateway) -> None:
    # What a server holds of an answer on its way is full with less.
    goods = [stock(6_000) for _ in range(4)]
    for some in goods:
        await register(own["goods-in"], some)
    incident = await drafted(
        own["incident-manager"], imeis=[number for some in goods for number in some.imeis]
    )
    await decided(own["incident-manager"], incident, "submit", acknowledged=["size"])
    await decided(own["approver"], incident, "approve")
    keys = [(await own.new_key(Role.CARRIER)).key for _ in range(AT_ONCE // AT_ONCE_BY_ONE)]
    async with taking_nothing(own, keys[0], AT_ONCE_BY_ONE), taking_nothing(own, keys[1], AT_ONCE_BY_ONE):
        problem(await own["carrier"].get("/v1/blocklist"), 503, "downloads-busy")
        async with asyncio.timeout(TO_TAKE + 10):
            while (answer := await own["carrier"].get("/v1/blocklist")).status_code != 200:
                await asyncio.sleep(0.5)
        assert len(answer.text.splitlines()) == sum(len(some.imeis) for some in goods)


async def test_who_waits_for_changes_is_told_nothing_more_once_his_key_is_revoked(
    gateway: Gateway, manager: httpx.AsyncClient, carrier: httpx.AsyncClient
) -> None:
    made = await gateway.new_key(Role.CARRIER)
    cursor = (await carrier.get("/v1/blocklist/changes", params={"limit": 10_000})).json()["cursor"]
    while (page := (await carrier.get("/v1/blocklist/changes", params={"cursor": cursor})).json())["changes"]:
        cursor = page["cursor"]
    async with gateway.bare() as client:
        waiting = asyncio.create_task(
            client.get(
                f"{gateway.url}/v1/blocklist/changes",
                params={"cursor": cursor, "wait": 30},
                headers={"authorization": f"Bearer {made.key}"},
            )
        )
        await asyncio.sleep(0.5)
        await gateway.revoke(made.key_id)
        incident = await drafted(manager, serials=[f"WAITED-{made.key_id}"])
        await decided(manager, incident, "submit")
        problem(await waiting, 401, "key-unknown")


async def test_a_stream_ends_with_the_token_that_began_it(
    gateway: Gateway, manager: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    incident = await drafted(manager, serials=["TOKEN-OVER"])
    made = await gateway.new_key(Role.AUDITOR)
    form = {"grant_type": "client_credentials", "client_id": made.key_id, "client_secret": made.key}
    token = (await nobody.post("/oauth2/token", data=form)).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    async with nobody.stream("GET", f"/v1/incidents/{incident}/events", headers=headers) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "event: progress"
        await gateway.execute(
            "UPDATE access_token SET expires_at = expires_at - interval '1 hour' WHERE key_id = $1",
            made.key_id,
        )
        async with asyncio.timeout(10):
            rest = [line async for line in lines]
    assert not any(line.startswith("event") for line in rest)


async def test_tokens_cost_something_of_the_quota(gateway: Gateway, nobody: httpx.AsyncClient) -> None:
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 3 WHERE key_id = $1", made.key_id)
    form = {"grant_type": "client_credentials", "client_id": made.key_id, "client_secret": made.key}
    answers = [await nobody.post("/oauth2/token", data=form) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_what_a_used_up_quota_sends_is_not_even_read(gateway: Gateway) -> None:
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 2 WHERE key_id = $1", made.key_id)
    async with gateway.bare() as client:
        headers = {"authorization": f"Bearer {made.key}", "content-type": "application/json"}
        url = f"{gateway.url}/v1/status"
        for _ in range(2):
            assert (await client.post(url, content=b"not JSON", headers=headers)).status_code == 400
        problem(await client.post(url, content=b"not JSON", headers=headers), 429)
        problem(await client.post(url, content=b"not JSON", headers=headers), 429)


async def test_what_is_wrong_is_charged_as_what_is_right(gateway: Gateway) -> None:
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 1000 WHERE key_id = $1", made.key_id)
    async with gateway.bare() as client:
        headers = {"authorization": f"Bearer {made.key}"}
        answer = await client.post(f"{gateway.url}/v1/status", json={"imeis": ["x"] * 900}, headers=headers)
        assert len(problem(answer, 400)["errors"]) == 100
        assert "900 of the identifiers" in answer.json()["detail"]
        problem(
            await client.post(f"{gateway.url}/v1/status", json={"imeis": ["x"] * 900}, headers=headers), 429
        )


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}], ids=["express", "the other way"])
async def test_a_database_that_stands_still_is_told_of_in_time(own: Gateway, headers: dict[str, str]) -> None:
    client = own["carrier"]
    assert (await client.get(ASK)).status_code == 200
    conn = await asyncpg.connect(own.dsn)
    rows = await conn.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await conn.close()
    with frozen([row["pid"] for row in rows]):
        began = time.monotonic()
        problem(await client.get(ASK, headers=headers), 503, "database-away")
        assert time.monotonic() - began < 2 * ANSWER_WITHIN + 1
    async with asyncio.timeout(30):
        while (await client.get(ASK, headers=headers)).status_code != 200:
            await asyncio.sleep(0.2)


async def test_nobody_keeps_what_was_true_a_moment_ago(carrier: httpx.AsyncClient) -> None:
    for path in (ASK, "/v1/status/x", "/nothing/here"):
        assert (await carrier.get(path)).headers["cache-control"] == "no-store"
    assert (await carrier.get("/v1/blocklist")).headers["cache-control"] == "no-cache"


async def test_a_weak_tag_is_a_tag(carrier: httpx.AsyncClient) -> None:
    tag = (await carrier.get("/v1/blocklist")).headers["etag"]
    answer = await carrier.get("/v1/blocklist", headers={"if-none-match": f'"x", W/{tag}'})
    assert answer.status_code == 304


async def test_two_keys_are_nobodys(gateway: Gateway) -> None:
    key = f"Bearer {gateway.keys['carrier']}"
    async with gateway.bare() as client:
        both = [("authorization", key), ("authorization", key)]
        problem(await client.get(f"{gateway.url}{ASK}", headers=both), 401, "key-twice")


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "0001-01-01T00:00:00"])
async def test_a_report_needs_the_offset_of_its_time(carrier: httpx.AsyncClient, at: str) -> None:
    body = {"sightings": [{"imei": "356938031000004", "at": at}]}
    problem(await carrier.post("/v1/sightings", json=body), 400)


@pytest.mark.parametrize("day", ["9999-12-31", f"{datetime.now(UTC).year + 1}-01-01"])
async def test_a_day_to_come_is_not_over(carrier: httpx.AsyncClient, day: str) -> None:
    problem(await carrier.get(f"/v1/blocklist/days/{day}"), 409, "day-not-over")
