"""What partners report later: who does not sign learns nothing; who does can work out how, and is told what counted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.adapters import signature

from .asking import JSON, decided, drafted, problem, register, stock
from .conftest import Gateway
from .test_partner_reach import in_database
from .test_partners import SECRET, added

BODY = b'{"events": [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}]}'
STRANGER = "whsec_" + "b3RoZXJz" * 5
RUNBOOK = Path(__file__).parents[2] / "deploy" / "RUNBOOK.md"


def signed(
    body: bytes = BODY, secret: str = STRANGER, number: str = "m-1", late: float = 0
) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=late)
    return JSON | signature.signed(signature.keys(secret), number, at, body)


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in signed().items() if key != name}


@pytest.fixture(scope="module")
async def numbers(gateway: Gateway) -> list[int]:
    """Partners: one that confirms, one that does not, one without a secret, one removed, one locked, and none."""
    admin = gateway["admin"]
    made = [await added(admin, "Confirming", "knox_guard"), await added(admin, "At once")]
    bare = {"url": "https://knox.example", "api_token": "hush-hush", "email": "a@b.example"}
    made.append(await added(admin, "No secret", "knox_guard", settings=bare, allow_private=False))
    made += [await added(admin, name, "knox_guard") for name in ("Removed", "Locked")]
    assert (await admin.delete(f"/v1/partners/{made[3]['id']}")).status_code == 204
    await in_database(
        gateway,
        "UPDATE partner SET settings = settings || $2::jsonb WHERE partner_id = $1",
        made[4]["id"],
        json.dumps({"webhook_secret": {"$sealed": "s00000000.AAAA"}}),
    )
    return [*(one["id"] for one in made), 987_654_321]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (lambda: JSON, "it has no webhook-id"),
        (lambda: without("webhook-id"), "it has no webhook-id"),
        (lambda: signed(number="m" * 4_000), "its webhook-id has more than 255 characters"),
        (lambda: without("webhook-timestamp"), "it has no webhook-timestamp"),
        (lambda: signed() | {"webhook-timestamp": "soon"}, "is no number of seconds"),
        (lambda: signed(late=4_000), "s in the past; at most 300 s are taken"),
        (lambda: signed(late=-4_000), "s ahead of our clock; at most 300 s are taken"),
        (lambda: without("webhook-signature"), "it has no webhook-signature that begins with v1,"),
        (lambda: signed() | {"webhook-signature": "v2,AAAA"}, "it has no webhook-signature that begins with v1,"),
        (signed, "its webhook-signature is none that is known here"),
    ],
    ids=[
        "nothing", "no-id", "long-id", "no-time", "no-number", "late", "early", "no-signature", "v2", "stranger"
    ],
)  # fmt: skip
async def test_who_does_not_sign_is_told_the_same_of_every_partner(nobody, numbers, headers, words):
    headers = headers()
    answers = [
        await nobody.post(f"/v1/partners/{number}/confirmations", content=BODY, headers=headers)
        for number in numbers
    ]
    found = [problem(answer, 401, "unsigned") for answer in answers]
    assert words in found[0]["detail"]
    assert "HMAC-SHA256" in found[0]["detail"]
    alike = {re.sub(r"[0-9,]+ s (in|ahead)", r"\1", one["detail"]) for one in found}
    assert len(alike) == 1
    told = [{name for name in answer.headers if name != "x-request-id"} for answer in answers]
    assert all(one == told[0] for one in told)


async def test_nor_does_the_length_of_what_is_read_tell(nobody, numbers):
    body = b" " * (2**20 + 1)
    for number in numbers:
        url = f"/v1/partners/{number}/confirmations"
        problem(await nobody.post(url, content=body, headers=signed(body)), 413, "body-too-large")


async def test_a_long_webhook_id_is_refused_also_where_it_is_signed(nobody, numbers):
    url = f"/v1/partners/{numbers[0]}/confirmations"
    problem(await nobody.post(url, content=BODY, headers=signed(secret=SECRET, number="m" * 256)), 401)
    longest = await nobody.post(url, content=BODY, headers=signed(secret=SECRET, number="m" * 255))
    assert (longest.status_code, longest.json()) == (200, {"counted": 0, "ignored": 1})


async def test_events_that_nobody_knows_are_counted_as_ignored(nobody, numbers):
    events: list[dict[str, Any]] = [
        {"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"},
        {"eventType": "KG_DEVICE_POLISHED", "deviceUid": "490154203237518"},
        {"eventType": "KG_POLICY_CHANGED", "policy": {"id": 7}},
    ]
    body = json.dumps({"events": events}).encode()
    url = f"/v1/partners/{numbers[0]}/confirmations"
    answer = await nobody.post(url, content=body, headers=signed(body, SECRET, "m-2"))
    assert (answer.status_code, answer.json()) == (200, {"counted": 0, "ignored": 3})


async def test_the_example_of_the_runbook_runs(gateway, numbers):
    (example,) = re.findall(
        r"^<!-- confirm -->\n```python\n(.*?)^```", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL
    )
    address = f"{gateway.url}/v1/partners/{numbers[0]}/confirmations"
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", example, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environ | {"CONFIRMATIONS": address, "WEBHOOK_SECRET": SECRET},
    )  # fmt: skip
    said, wrong = await process.communicate()
    assert json.loads(said) == {"counted": 0, "ignored": 1}, wrong


async def test_confirmations_must_be_signed(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand A', 'knox_guard'))['id']}/confirmations"
    body = json.dumps(
        {"events": [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}]}
    ).encode()
    accepted = await nobody.post(url, content=body, headers=signed(body, SECRET))
    assert (accepted.status_code, accepted.json()) == (200, {"counted": 0, "ignored": 1})
    problem(await nobody.post(url, content=body, headers=JSON), 401)
    problem(await nobody.post(url, content=body + b" ", headers=signed(body, SECRET)), 401)
    problem(await nobody.post(url, content=body, headers=signed(body, "whsec_" + "b3RoZXJz" * 5)), 401)
    problem(await admin.post(url, content=body, headers=JSON), 401)


async def test_confirmations_that_cannot_be_read(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand B', 'knox_guard'))['id']}/confirmations"
    for body in (
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"events": [{"eventType": 1}]}',
        b'{"events": NaN}',
    ):
        problem(await nobody.post(url, content=body, headers=signed(body, SECRET)), 400)


async def test_a_message_of_too_many_results_is_refused(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand E', 'knox_guard'))['id']}/confirmations"
    events = [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}] * 10_001
    body = json.dumps({"events": events}, separators=(",", ":")).encode()
    found = problem(
        await nobody.post(url, content=body, headers=signed(body, SECRET)), 400, "confirmation-size"
    )
    assert "10,000 at most" in found["detail"]
    body = b" " * (2**20 + 1)
    problem(await nobody.post(url, content=body, headers=signed(body, SECRET)), 413, "body-too-large")


async def test_an_adapter_that_confirms_nothing(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Register E'))['id']}/confirmations"
    problem(await nobody.post(url, content=b"{}", headers=signed(b"{}", SECRET)), 401, "unsigned")
    problem(await nobody.post("/v1/partners/999999/confirmations", content=b"{}", headers=JSON), 401)


async def test_a_brand_reports_its_locks(gateway, admin, goods_in, manager, approver, practice, until):
    _, settings = await practice("knox_guard")
    goods = stock(2, tac=35_777777)
    made = await added(
        admin,
        "Brand C",
        "knox_guard",
        settings=settings,
        scope={"kinds": ["imei"], "tacs": ["35777777"]},
    )
    callback = {"url": f"{gateway.url}/v1/partners/{made['id']}/confirmations"}
    async with gateway.bare() as client:
        assert (await client.put(f"{settings['url']}/sandbox/callback", json=callback)).status_code == 204
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    read = await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])
    (standing,) = read["partners"]
    assert (standing["partner"], standing["block"]["wanted"], standing["block"]["done"]) == ("Brand C", 4, 4)


async def test_a_message_that_comes_twice_counts_once(
    admin, auditor, goods_in, manager, approver, nobody, practice, until
):
    _, settings = await practice("knox_guard")
    goods = stock(1, tac=35_777778)
    scope = {"kinds": ["imei"], "tacs": ["35777778"]}
    made = await added(admin, "Brand D", "knox_guard", settings=settings, scope=scope)
    await register(goods_in, goods)

    async def waits(op: str, accepted: int) -> None:
        def stands(answer):
            return answer["partners"] and answer["partners"][0][op]["accepted"] == accepted

        await until(manager, f"/v1/incidents/{incident}", stands)

    async def stolen() -> int:
        number = await drafted(manager, pallets=[goods.pallet])
        await decided(manager, number, "submit")
        await decided(approver, number, "approve")
        return number

    async def reported(event: str, number: str) -> int:
        events = [{"eventType": event, "deviceUid": imei} for imei in goods.imeis]
        body = json.dumps({"events": events}).encode()
        secret = settings["webhook_secret"]
        headers = JSON | signature.signed(signature.keys(secret), number, datetime.now(UTC), body)
        answer = await nobody.post(f"/v1/partners/{made['id']}/confirmations", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        counted: int = answer.json()["counted"]
        return counted

    incident = await stolen()
    await waits("block", 2)
    assert await reported("KG_DEVICE_LOCKED", "lock-1") == 2
    lift = {"scope": {"pallets": [goods.pallet]}}
    assert (await manager.post(f"/v1/incidents/{incident}/lift", json=lift)).status_code == 200
    await waits("release", 2)
    assert await reported("KG_DEVICE_UNLOCKED", "unlock-1") == 2
    incident = await stolen()
    await waits("block", 2)
    subject = {"subject": f"partner:{made['id']}", "limit": 100}
    before = (await auditor.get("/v1/audit/entries", params=subject)).json()["entries"]
    assert await reported("KG_DEVICE_LOCKED", "lock-1") == 0
    after = (await auditor.get("/v1/audit/entries", params=subject)).json()["entries"]
    assert len(after) == len(before)
    assert await reported("KG_DEVICE_LOCKED", "lock-2") == 2
