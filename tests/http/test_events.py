"""Watching an incident: server-sent events, with a worker that tells a practice partner."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx
import pytest

from app.access.roles import Role
from app.sandbox.faults import Faults
from app.sandbox.ledger import State

from .asking import decided, drafted, problem, register, stock
from .conftest import Gateway

TAC = 35_666666


@pytest.fixture(scope="module")
async def partner(gateway: Gateway, practice) -> Any:
    """A practice partner for this module's goods."""
    stage, settings = await practice("webhook")
    said = {
        "name": "Repair channel",
        "adapter": "webhook",
        "settings": settings,
        "allow_private": True,
        "scope": {"kinds": ["imei"], "tacs": [str(TAC)]},
    }
    response = await gateway["admin"].post("/v1/partners", json=said)
    assert response.status_code == 201, response.text
    return stage


async def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """All events until the stream ends."""
    found, name = [], ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


async def test_an_incident_is_watched_to_its_end(gateway, partner, goods_in, manager, approver):
    goods = stock(5, TAC)
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    partner.misbehaviour.order(Faults(latency_ms=700))
    async with manager.stream("GET", f"/v1/incidents/{incident}/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        watching = asyncio.create_task(events(response))
        await asyncio.sleep(0.2)
        await decided(approver, incident, "approve")
        seen = await asyncio.wait_for(watching, 20)
    partner.misbehaviour.order(Faults())
    names = [name for name, _ in seen]
    assert names == ["progress"] * (len(seen) - 1) + ["settled"]
    assert seen[0][1]["state"] == "submitted"
    last = seen[-1][1]
    assert (last["state"], last["settled"]) == ("approved", True)
    assert last["partners"][0]["block"]["done"] == 10
    assert sorted(partner.ledger.page(State.BLOCKED, "", 100)) == sorted(
        number[:14] for number in goods.imeis
    )
    read = (await manager.get(f"/v1/incidents/{incident}")).json()
    assert (read.pop("scope"), read.pop("preview")["devices"]) == ({"pallets": [goods.pallet]}, 5)
    assert (read.pop("acknowledged"), read.pop("include_sold")) == ([], False)
    assert (len(read.pop("frozen")), read.pop("round")) == (64, 1)
    assert last == read
    assert (last["named"]["pallets"], last["devices"], last["identifiers"]) == (1, 5, 10)


async def test_an_incident_that_has_ended_says_so_and_ends(manager):
    incident = await drafted(manager, serials=["ENDED"])
    await decided(manager, incident, "withdraw", reason="A mistake.")
    async with manager.stream("GET", f"/v1/incidents/{incident}/events") as response:
        seen = await asyncio.wait_for(events(response), 5)
    assert [(name, body["state"]) for name, body in seen] == [("settled", "withdrawn")]


async def test_who_leaves_is_no_longer_told(gateway, manager, nobody):
    incident = await drafted(manager, serials=["LEFT"])
    url = f"{gateway.url}/v1/incidents/{incident}/events"
    headers = {"authorization": f"Bearer {gateway.keys['incident-manager']}"}
    before = await ended(nobody)
    for _ in range(20):
        async with gateway.bare() as client, client.stream("GET", url, headers=headers) as response:
            assert await anext(response.aiter_lines())
    async with asyncio.timeout(10):
        while await ended(nobody) < before + 20:
            await asyncio.sleep(0.1)


async def commits(gateway: Gateway) -> int:
    conn = await asyncpg.connect(gateway.dsn)
    query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    found: int = await conn.fetchval(query)
    await conn.close()
    return found


async def fewest_commits(gateway: Gateway, windows: int) -> int:
    """Of so many windows of 4 s: an idle connection reports what it did before only after 10 s."""
    counts = []
    for _ in range(windows):
        before = await commits(gateway)
        await asyncio.sleep(4)
        counts.append(await commits(gateway) - before)
    return min(counts)


async def test_many_watchers_cost_one_reading(gateway, manager, auditor):
    incident = await drafted(manager, imeis=stock(5_000).imeis)
    url = f"/v1/incidents/{incident}/events"
    quiet = await fewest_commits(gateway, 1)
    async with AsyncExitStack() as stack, gateway.bare() as client:
        headers = {"authorization": f"Bearer {gateway.keys['auditor']}"}
        # Whose lines nobody keeps is closed.
        kept = []
        for _ in range(50):
            stream = client.stream("GET", f"{gateway.url}{url}", headers=headers)
            lines = (await stack.enter_async_context(stream)).aiter_lines()
            kept.append(lines)
            first = [await anext(lines), await anext(lines)]
            assert first[0] == "event: progress"
            assert len(first[1]) < 2_000
            assert json.loads(first[1].removeprefix("data: "))["named"]["imeis"] == 10_000
        assert await fewest_commits(gateway, 4) < quiet + 100


async def test_a_stream_ends_when_its_key_is_revoked(gateway, manager):
    incident = await drafted(manager, serials=["REVOKED"])
    made = await gateway.new_key(Role.AUDITOR)
    url = f"{gateway.url}/v1/incidents/{incident}/events"
    headers = {"authorization": f"Bearer {made.key}"}
    async with gateway.bare() as client, client.stream("GET", url, headers=headers) as response:
        watching = asyncio.create_task(events(response))
        await asyncio.sleep(1.2)
        assert not watching.done()
        await gateway.revoke(made.key_id)
        seen = await asyncio.wait_for(watching, 2)
    assert [name for name, _ in seen] == ["progress"]


async def ended(nobody: httpx.AsyncClient) -> float:
    """How many streams the server is done with."""
    figures = (await nobody.get("/metrics")).text
    wanted = 'http_seconds_count{method="GET",route="/v1/incidents/{incident_id}/events"'
    return sum(float(line.split()[-1]) for line in figures.splitlines() if wanted in line)


async def test_nothing_is_streamed_of_an_incident_that_is_not_there(manager):
    problem(await manager.get("/v1/incidents/999999/events"), 404, "missing")


async def test_what_a_partner_refuses_is_told_in_its_words(gateway, partner, manager, approver, until):
    number = stock(1, TAC).imeis[0]
    partner.misbehaviour.order(Faults(refuse_rate=1))
    incident = await drafted(manager, imeis=[number])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    read = await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])
    partner.misbehaviour.order(Faults())
    url = f"/v1/incidents/{incident}/refusals/{read['partners'][0]['partner_id']}"
    (refusal,) = (await manager.get(url)).json()["refusals"]
    assert (refusal["identifier"], refusal["op"]) == (number, "block")
    assert refusal["words"] or refusal["code"]
    problem(await manager.get(f"/v1/incidents/{incident}/refusals/999999"), 404, "missing")


async def test_refusals_come_in_pages(partner, manager, approver, until):
    numbers = [stock(1, TAC).imeis[0] for _ in range(8)]
    incident = await drafted(manager, imeis=numbers)
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    path = f"/v1/incidents/{incident}"
    await until(manager, path, lambda answer: answer["settled"])
    partner.misbehaviour.order(Faults(refuse_rate=1))
    await decided(manager, incident, "lift", scope={"imeis": numbers[:7]})
    read = await until(manager, path, lambda answer: answer["settled"])
    partner.misbehaviour.order(Faults())
    url, cursor, found, pages = f"{path}/refusals/{read['partners'][0]['partner_id']}", "0", [], 0
    while cursor:
        page = (await manager.get(url, params={"limit": 3, "cursor": cursor})).json()
        found += [(refusal["identifier"], refusal["op"]) for refusal in page["refusals"]]
        cursor, pages = page["next"], pages + 1
    assert pages == 3
    assert sorted(found) == sorted((it, "release") for it in numbers[:7])
    assert (await manager.get(url)).json()["next"] is None
