"""What ends a key: its time, the networks that it is good from, and another secret in its place."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.access import keys
from app.access.ends import Ends
from app.access.keys import NewKey
from app.access.roles import Role
from app.core.errors import Conflict, Invalid

from .asking import decided, drafted, problem, register, stock
from .conftest import Gateway, serving

ASK = "/v1/status/490154203237518"
# The same question, not by the fast way.
SLOWLY = {"content-length": "0"}


@pytest.fixture(scope="module")
async def proxied(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway whose proxies are on this machine, and at 10.0.0.7."""
    folder = tmp_path_factory.mktemp("proxied")
    async with serving(cluster, template, folder, "web", trusted_proxies="10.0.0.7, 127.0.0.1") as gateway:
        yield gateway


async def made(gateway: Gateway, role: Role = Role.CARRIER, **ends: object) -> NewKey:
    async with gateway.connected() as conn:
        return await keys.create(
            conn, name="ends", role=role, by="tests", now=datetime.now(UTC), random=secrets.token_bytes,
            ends=Ends(**ends),
        )  # fmt: skip


def shown(key: str, **headers: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {key}",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }


@pytest.mark.parametrize("way", [{}, SLOWLY], ids=["fast", "usual"])
async def test_a_key_ends_by_itself_with_its_tokens(gateway, nobody, way):
    key = await made(gateway, expires_at=datetime.now(UTC) + timedelta(hours=1))
    form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": key.key}
    token = (await nobody.post("/oauth2/token", data=form)).json()["access_token"]
    for text in (key.key, token):
        assert (await nobody.get(ASK, headers=shown(text) | way)).status_code == 200
    ended = "UPDATE api_key SET expires_at = now() - interval '1 second' WHERE key_id = $1"
    await gateway.execute(ended, key.key_id)
    for text in (key.key, token):
        problem(await nobody.get(ASK, headers=shown(text) | way), 401)


@pytest.mark.parametrize("way", [{}, SLOWLY], ids=["fast", "usual"])
async def test_another_secret_is_good_beside_the_former_one_for_a_while(gateway, nobody, way):
    key = await made(gateway)
    async with gateway.connected() as conn:
        other = await keys.rotate(conn, key.key_id, timedelta(hours=1), secrets.token_bytes)
    assert other.key_id == key.key_id
    for text in (key.key, other.key):
        assert (await nobody.get(ASK, headers=shown(text) | way)).status_code == 200
    over = "UPDATE api_key SET former_until = now() - interval '1 second' WHERE key_id = $1"
    await gateway.execute(over, key.key_id)
    problem(await nobody.get(ASK, headers=shown(key.key) | way), 401, "key-unknown")
    assert (await nobody.get(ASK, headers=shown(other.key) | way)).status_code == 200


async def test_another_secret_makes_no_second_person(gateway, nobody, goods_in):
    """Or whoever may change secrets would approve what he submitted."""
    key = await made(gateway, Role.ADMIN)
    goods = stock(1)
    await register(goods_in, goods)
    async with gateway.client(key) as client:
        incident = await drafted(client, pallets=[goods.pallet])
        await decided(client, incident, "submit")
    async with gateway.connected() as conn:
        other = await keys.rotate(conn, key.key_id, timedelta(0), secrets.token_bytes)
    async with gateway.client(other) as client:
        problem(await client.post(f"/v1/incidents/{incident}/approve"), 403, "second-person")


@pytest.mark.parametrize("way", [{}, SLOWLY], ids=["fast", "usual"])
async def test_a_key_is_good_from_its_networks_alone(gateway, nobody, way):
    near, far = await made(gateway, networks=("127.0.0.0/8",)), await made(gateway, networks=("10.1.0.0/16",))
    assert (await nobody.get(ASK, headers=shown(near.key) | way)).status_code == 200
    body = problem(await nobody.get(ASK, headers=shown(far.key) | way), 403, "address-refused")
    assert "127.0.0.1" in body["detail"]
    form = {"grant_type": "client_credentials", "client_id": far.key_id, "client_secret": far.key}
    refused = await nobody.post("/oauth2/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (403, "unauthorized_client")


async def test_a_token_is_good_from_the_networks_of_its_key_alone(gateway, nobody):
    key = await made(gateway, networks=("127.0.0.0/8",))
    form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": key.key}
    token = (await nobody.post("/oauth2/token", data=form)).json()["access_token"]
    assert (await nobody.get(ASK, headers=shown(token))).status_code == 200
    async with gateway.connected() as conn:
        await keys.set_networks(conn, key.key_id, ("10.1.0.0/16",))
    problem(await nobody.get(ASK, headers=shown(token)), 403, "address-refused")


async def test_who_comes_by_no_proxy_says_nothing_of_where_he_is(gateway, nobody):
    """A forged X-Forwarded-For opens nothing where no proxy is trusted."""
    key = await made(gateway, networks=("10.1.0.0/16",))
    headers = shown(key.key, x_forwarded_for="10.1.2.3")
    problem(await nobody.get(ASK, headers=headers), 403, "address-refused")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        # What the client wrote itself stands before what the nearest proxy has seen.
        ("10.1.2.3, 192.0.2.1", 403),
        ("192.0.2.1, 10.1.2.3", 200),
        ("10.1.2.3, 10.0.0.7", 200),
        ("192.0.2.1, 10.0.0.7", 403),
        ("10.1.2.3, nonsense", 403),
        ("10.1.2.3,", 403),
        ("", 403),
        (None, 403),
    ],
)  # fmt: skip
async def test_a_trusted_proxy_says_where_the_client_is(proxied, said, status):
    key = await made(proxied, networks=("10.1.0.0/16",))
    headers = shown(key.key) | ({"x-forwarded-for": said} if said is not None else {})
    assert (await proxied["nobody"].get(ASK, headers=headers)).status_code == status


async def test_a_neighbour_of_the_proxy_is_not_believed(proxied):
    key = await made(proxied, networks=("10.1.0.0/16",))
    neighbour = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(base_url=proxied.url, transport=neighbour) as client:
        headers = shown(key.key, x_forwarded_for="10.1.2.3")
        problem(await client.get(ASK, headers=headers), 403, "address-refused")


async def test_two_headers_are_read_as_one(proxied):
    key = await made(proxied, networks=("10.1.0.0/16",))
    pairs = [*shown(key.key).items(), ("x-forwarded-for", "10.1.2.3"), ("x-forwarded-for", "192.0.2.1")]
    problem(await proxied["nobody"].get(ASK, headers=pairs), 403, "address-refused")


@pytest.mark.parametrize(
    ("ends", "pointer"),
    [
        ({"networks": ("10.1.0.0/99",)}, "/networks"),
        ({"networks": ("10.1.0.1/16",)}, "/networks"),
        ({"networks": ("",)}, "/networks"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/expires_at"),
    ],
    ids=["mask", "host", "empty", "past"],
)
async def test_ends_that_cannot_be_right(gateway, ends, pointer):
    with pytest.raises(Invalid) as caught:
        await made(gateway, **ends)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]


async def test_the_last_administrator_gets_no_end(gateway):
    async with gateway.connected() as conn:
        admins = [key for key in await keys.listed(conn) if key.role is Role.ADMIN and not key.revoked_at]
        lasting = [key.key_id for key in admins if key.expires_at is None]
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        for key_id in lasting[1:]:
            await keys.set_end(conn, key_id, tomorrow, datetime.now(UTC))
        with pytest.raises(Conflict):
            await keys.set_end(conn, lasting[0], tomorrow, datetime.now(UTC))
        for key_id in lasting:
            await keys.set_end(conn, key_id, None, datetime.now(UTC))
