"""The question that carriers ask most has a shorter way through the gateway. Nobody can tell which way he was answered:
a request that says the length of its body, which is none, goes the other one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.access.roles import Role

from .asking import figures
from .conftest import Gateway

THE_OTHER_WAY = {"content-length": "0"}
# Of one answer alone.
OWN = {"x-request-id", "date", "ratelimit"}


async def asked(client: httpx.AsyncClient, path: str, **headers: str) -> tuple[Any, ...]:
    """What came of a question: status, headers, and body, save how far the block list had come."""
    answer = await client.get(path, headers=headers)
    said = answer.json()
    said.pop("as_of", None)
    kept = {name: value for name, value in answer.headers.items() if name not in OWN}
    if "as_of" in answer.text:
        kept.pop("content-length")
    return answer.status_code, kept, said, OWN & answer.headers.keys()


async def same(client: httpx.AsyncClient, path: str, **headers: str) -> tuple[Any, ...]:
    first = await asked(client, path, **headers)
    assert first == await asked(client, path, **headers, **THE_OTHER_WAY)
    return first


@pytest.mark.parametrize("role", [Role.CARRIER, Role.INCIDENT_MANAGER])
async def test_both_ways_say_the_same_of_everything(
    gateway: Gateway, ladder: dict[str, str], role: Role
) -> None:
    for status, number in ladder.items():
        for text in (number, number[:14], f"urn:gsma:imei:{number}", number[:14] + "07"):
            answered, _, said, _ = await same(gateway[role], f"/v1/status/{text}")
            assert (answered, said["imei"], said["status"]) == (200, text, status)
            assert ("incidents" in said) == (role is Role.INCIDENT_MANAGER)


async def test_both_ways_know_the_test_identifiers(carrier: httpx.AsyncClient) -> None:
    for number, status in {"009900990001010": "blocked", "009900990003008": "clear"}.items():
        assert (await same(carrier, f"/v1/status/{number}"))[2]["status"] == status


@pytest.mark.parametrize(
    "path", ["1", "49015420323751801", "490154203237518?x=1", "%34%39", "490154203237518/"]
)
async def test_both_ways_refuse_the_same(carrier: httpx.AsyncClient, path: str) -> None:
    await same(carrier, f"/v1/status/{path}")


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer x", "Basic x", f"Bearer imei_k_aaaaaaaa_{'A' * 43}", f"Bearer imei_t_{'A' * 43}"],
)
async def test_both_ways_refuse_strangers_alike(nobody: httpx.AsyncClient, shown: str) -> None:
    assert (await same(nobody, "/v1/status/490154203237518", authorization=shown))[0] == 401


async def test_both_ways_refuse_who_may_not_ask(gateway: Gateway) -> None:
    assert (await same(gateway[Role.GOODS_IN], "/v1/status/490154203237518"))[0] == 403


async def test_a_revoked_key_is_refused_at_once(gateway: Gateway) -> None:
    made = await gateway.new_key(Role.CARRIER)
    key = {"authorization": f"Bearer {made.key}"}
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        assert (await asked(client, "/v1/status/490154203237518", **key))[0] == 200
        await gateway.revoke(made.key_id)
        assert (await same(client, "/v1/status/490154203237518", **key))[0] == 401


async def test_a_token_of_another_scope_is_refused(gateway: Gateway) -> None:
    made = await gateway.new_key(Role.CARRIER)
    form = {"grant_type": "client_credentials", "client_id": made.key_id, "client_secret": made.key}
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        for scope, status in {"status:read": 200, "n5g-eir-eic": 403}.items():
            token = (await client.post("/oauth2/token", data={**form, "scope": scope})).json()["access_token"]
            bearer = {"authorization": f"Bearer {token}"}
            assert (await same(client, "/v1/status/490154203237518", **bearer))[0] == status


async def test_the_shorter_way_takes_off_the_quota_too(gateway: Gateway) -> None:
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 5 WHERE key_id = $1", made.key_id)
    key = {"authorization": f"Bearer {made.key}"}
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        found = [(await asked(client, "/v1/status/490154203237518", **key))[0] for _ in range(7)]
        assert found == [200] * 5 + [429] * 2
        assert (await same(client, "/v1/status/490154203237518", **key))[0] == 429


async def test_both_ways_are_counted_as_one(carrier: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    before = await counted(nobody)
    await same(carrier, "/v1/status/490154203237518")
    assert await counted(nobody) - before == 2


async def counted(client: httpx.AsyncClient) -> float:
    """How many questions for one identifier were answered, by figures that were made after this was asked."""
    figure = 'http_seconds_count{method="GET",route="/v1/status/{imei}",status="200"} '
    found = [line for line in (await figures(client)).splitlines() if figure in line]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0
