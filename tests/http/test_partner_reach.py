"""Partners over HTTP: where they may be, how TLS is spoken with them, and secrets that are never told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from app.adapters import signature
from app.delivery import reach
from app.sandbox import server as sandbox
from app.sandbox.stage import Stage

from ..authority import Authority, server
from .asking import JSON, decided, drafted, places, problem, register, stock
from .test_partners import QUIET, SETTINGS, added

INSIDE = [
    "http://127.0.0.1:8080",
    "https://localhost/x",
    "http://[::1]/",
    "http://169.254.169.254/latest",
    "http://10.1.2.3",
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def in_database(gateway, statement: str, *arguments: Any) -> Any:
    conn = await asyncpg.connect(gateway.dsn)
    found = await conn.fetchval(statement, *arguments)
    await conn.close()
    return found


@pytest.mark.parametrize("url", INSIDE)
async def test_a_private_address_is_refused_until_it_is_allowed(admin, url):
    said = {"name": f"Inside {url}", "adapter": "eir_push", "settings": {"url": url}, "scope": QUIET}
    found = problem(await admin.post("/v1/partners", json=said), 400, "address-private")
    assert set(places(found)) == {"/settings/url"}
    assert "would have allow_private" in found["detail"]
    made = (await admin.post("/v1/partners", json={**said, "allow_private": True})).json()
    assert made["allow_private"] is True
    path = f"/v1/partners/{made['id']}"
    problem(await admin.patch(path, json={"allow_private": False}), 400, "address-private")
    both = {"allow_private": False, "settings": {"url": "https://eir.example"}}
    changed = (await admin.patch(path, json=both)).json()
    assert (changed["allow_private"], changed["settings"]["url"]) == (False, "https://eir.example")
    problem(await admin.patch(path, json={"settings": {"url": url}}), 400, "address-private")


async def test_a_server_for_files_is_judged_like_any_other(admin):
    settings = {"url": "sftp://10.1.2.3/in", "user": "u", "password": "hush-hush"}
    settings["host_key"] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHKEZ9wNcRKv0VxQ0uHjJ3nqRuNYFpr0gk0WZ4cQXJ1C"
    said = {"name": "Files inside", "adapter": "sftp_csv", "settings": settings, "scope": QUIET}
    problem(await admin.post("/v1/partners", json=said), 400, "address-private")
    said["settings"] = {"url": "file:///inside"}
    assert (await admin.post("/v1/partners", json=said)).status_code == 201


async def test_private_is_not_allowed_unless_somebody_says_so(admin, auditor):
    made = await added(admin, "Public")
    assert made["allow_private"] is False
    await admin.patch(f"/v1/partners/{made['id']}", json={"allow_private": True})
    subject = {"subject": f"partner:{made['id']}"}
    entries = (await auditor.get("/v1/audit/entries", params=subject)).json()["entries"]
    assert sorted(entry["body"]["detail"]["allow_private"] for entry in entries) == [False, True]


async def test_a_partner_that_leads_inside_is_not_called_and_says_so(
    gateway, admin, goods_in, manager, approver, practice, until
):
    stage, settings = await practice("eir_push")
    goods = stock(2, tac=35_777781)
    scope = {"kinds": ["imei"], "tacs": ["35777781"]}
    made = await added(admin, "Rebound", "eir_push", settings=settings, scope=scope, allow_private=True)
    path = f"/v1/partners/{made['id']}"
    # Behind the back of the API, which would see from such an address where it leads.
    await in_database(gateway, "UPDATE partner SET allow_private = false WHERE partner_id = $1", made["id"])
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    found = await until(admin, path, lambda answer: answer["last_fault"] != "")
    assert found["last_fault"] == reach.WHY
    assert stage.ledger.calls == 0
    await admin.patch(path, json={"allow_private": True, "paused": False})
    await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])


async def test_tls_is_set_shown_and_changed_by_name(admin, authority):
    ours, renewed = authority.issue("us"), authority.issue("us", until=9)
    made = await added(admin, "Mutual", tls={"ca": authority.pem, **ours._asdict()})
    assert made["tls"].keys() == {"ca", "certificate", "private_key", "expires_at"}
    assert (made["tls"]["ca"], made["tls"]["private_key"]) == (authority.pem, "•••")
    path = f"/v1/partners/{made['id']}"
    problem(await admin.patch(path, json={"tls": {"certificate": renewed.certificate}}), 400, "tls-wrong")
    changed = (await admin.patch(path, json={"tls": renewed._asdict()})).json()
    assert changed["tls"]["certificate"] == renewed.certificate
    assert changed["tls"]["expires_at"] > made["tls"]["expires_at"]
    assert changed["tls"]["ca"] == authority.pem
    for nothing in ({"tls": {}}, {"tls": renewed._asdict()}):
        assert (await admin.patch(path, json=nothing)).json() == changed
    entries = await admin.get("/v1/audit/entries", params={"subject": f"partner:{made['id']}"})
    assert len(entries.json()["entries"]) == 2
    bare = (await admin.patch(path, json={"tls": {"ca": "", "certificate": "", "private_key": ""}})).json()
    assert bare["tls"] in ({}, {"ca": "", "certificate": "", "private_key": ""})


async def test_tls_that_does_not_fit_is_told_with_everything_else(admin, authority):
    old = authority.issue("us", since=-3, until=-2)
    said = {
        "name": "",
        "adapter": "ceir",
        "settings": {},
        "scope": QUIET,
        "tls": {**old._asdict(), "ca": "x"},
    }
    answer = await admin.post("/v1/partners", json=said)
    found = problem(answer, 400, "partner-flaws")
    assert {"/name", "/settings/url", "/tls/ca", "/tls/certificate"} <= set(places(found))
    assert "has expired at" in answer.text
    assert old.private_key[40:80] not in answer.text


@pytest.fixture
async def mutual(
    authority: Authority, tmp_path: Path
) -> AsyncIterator[tuple[Stage, dict[str, Any], Authority]]:
    """An EIR that believes only whom another authority knows: its stage, the settings that fit it, that authority."""
    clients, stage = Authority("For us"), Stage("eir_push", Random(7))
    runner = web.AppRunner(sandbox.build("eir_push", {}, stage), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    spoken = server(authority.issue(), tmp_path, clients=clients.pem)
    await web.TCPSite(runner, "localhost", 0, ssl_context=spoken).start()
    yield stage, sandbox.settings("eir_push", f"https://localhost:{runner.addresses[0][1]}"), clients
    await runner.cleanup()


async def test_a_partner_that_demands_our_certificate_is_told(
    admin, goods_in, manager, approver, authority, mutual, until
):
    stage, settings, clients = mutual
    goods = stock(2, tac=35_777782)
    scope = {"kinds": ["imei"], "tacs": ["35777782"]}
    made = await added(
        admin, "Demanding", "eir_push", settings=settings, scope=scope, allow_private=True,
        tls={"ca": authority.pem},
    )  # fmt: skip
    path = f"/v1/partners/{made['id']}"
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await until(admin, path, lambda answer: answer["last_fault"] != "")
    assert stage.ledger.calls == 0
    await admin.patch(path, json={"tls": clients.issue("gateway.example")._asdict(), "paused": False})
    await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])
    assert stage.ledger.counts()["blocked"] == 4


async def test_a_private_key_and_secrets_are_in_no_row(gateway, admin, authority):
    ours = authority.issue("us")
    made = await added(admin, "Sealed", "webhook", tls=ours._asdict())
    row = await in_database(gateway, "SELECT p::text FROM partner AS p WHERE partner_id = $1", made["id"])
    assert row.count("$sealed") == 3
    assert ours.private_key.splitlines()[1] not in row
    assert SETTINGS["webhook"]["secret"] not in row


async def test_a_sealed_value_is_nothing_that_a_person_could_set(admin):
    made = await added(admin, "Copied")
    said = {"settings": {"password": {"$sealed": "s00000000.AAAA"}}}
    problem(await admin.patch(f"/v1/partners/{made['id']}", json=said), 400, "settings-invalid")


async def test_a_sealed_webhook_secret_still_judges_messages(admin, nobody):
    made = await added(admin, "Confirms", "knox_guard")
    body, url = b'{"events": []}', f"/v1/partners/{made['id']}/confirmations"
    keys = signature.keys(SETTINGS["knox_guard"]["webhook_secret"])
    headers = JSON | signature.signed(keys, "m-1", datetime.now(UTC), body)
    assert (await nobody.post(url, content=body, headers=headers)).status_code == 200
