"""What a client may ask for in a minute, and how it is told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.access.roles import Role

from .asking import problem
from .conftest import Gateway

ASK = "/v1/status/490154203237518"
IMEIS = ["490154203237518"] * 40


async def limited(gateway: Gateway, quota: int, role: Role = Role.CARRIER) -> httpx.AsyncClient:
    """A client whose key has this quota."""
    made = await gateway.new_key(role)
    await gateway.execute("UPDATE api_key SET quota = $2 WHERE key_id = $1", made.key_id, quota)
    return httpx.AsyncClient(
        base_url=gateway.url, headers={"authorization": f"Bearer {made.key}"}, timeout=30, trust_env=False
    )


def left(response: httpx.Response) -> tuple[int, int]:
    """How many are left of how many."""
    policy, now = (
        dict(part.split("=") for part in response.headers[name].split(";")[1:])
        for name in ("ratelimit-policy", "ratelimit")
    )
    assert policy["w"] == "60"
    return int(now["r"]), int(policy["q"])


async def test_every_answer_tells_what_is_left(gateway):
    async with await limited(gateway, 100) as client:
        assert left(await client.get(ASK)) == (99, 100)
        assert left(await client.post("/v1/status", json={"imeis": IMEIS, "serials": ["A"]})) == (58, 100)
        assert left(await client.get("/v1/status/1")) == (57, 100)
        assert left(await client.get("/v1/blocklist/changes"))[0] >= 56
        eir = await client.get("/n5g-eir-eic/v1/equipment-status", params={"pei": "mac-none"})
        assert left(eir)[0] >= 55


async def test_who_asks_for_more_waits(gateway):
    async with await limited(gateway, 60) as client:
        await client.post("/v1/status", json={"imeis": IMEIS})
        refused = await client.post("/v1/status", json={"imeis": IMEIS})
        body = problem(refused, 429, "quota-exhausted")
        assert "quota of 60 identifiers a minute" in body["detail"]
        assert 15 <= int(refused.headers["retry-after"]) <= 21
        assert left(refused) == (0, 60)
        assert (await client.get(ASK)).status_code == 200


async def test_more_than_a_quota_holds_is_not_to_be_waited_for(gateway):
    async with await limited(gateway, 30) as client:
        refused = await client.post("/v1/status", json={"imeis": IMEIS})
        assert "retry-after" not in refused.headers
        problem(refused, 413, "over-quota")


async def test_a_token_spends_the_quota_of_its_key(gateway, nobody):
    async with await limited(gateway, 100) as client:
        key = client.headers["authorization"].removeprefix("Bearer ")
        form = {"grant_type": "client_credentials", "client_id": key[5:15], "client_secret": key}
        token = (await nobody.post("/oauth2/token", data=form)).json()["access_token"]
        await client.post("/v1/status", json={"imeis": IMEIS})
        assert left(await nobody.get(ASK, headers={"authorization": f"Bearer {token}"}))[0] <= 60


async def test_without_a_quota_nothing_is_told(gateway):
    async with await limited(gateway, 0) as client:
        answer = await client.get(ASK)
        assert (answer.status_code, answer.headers.get("ratelimit")) == (200, None)


async def test_who_may_not_ask_spends_nothing(gateway):
    async with await limited(gateway, 2, Role.GOODS_IN) as client:
        for _ in range(4):
            problem(await client.get(ASK), 403, "permission-missing")


@pytest.mark.parametrize("path", ["/v1/receipts", "/v1/incidents"])
async def test_the_owners_own_work_is_not_counted(gateway, path):
    async with await limited(gateway, 1, Role.ADMIN) as client:
        for _ in range(3):
            answer: Any = await client.get(path)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
