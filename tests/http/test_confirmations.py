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

from .asking import JSON, problem
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
        (JSON, "it has no webhook-id"),
        (without("webhook-id"), "it has no webhook-id"),
        (signed(number="m" * 4_000), "its webhook-id has more than 255 characters"),
        (without("webhook-timestamp"), "it has no webhook-timestamp"),
        (signed() | {"webhook-timestamp": "soon"}, "is no number of seconds"),
        (signed(late=4_000), "s in the past; at most 300 s are taken"),
        (signed(late=-4_000), "s ahead of our clock; at most 300 s are taken"),
        (without("webhook-signature"), "it has no webhook-signature that begins with v1,"),
        (signed() | {"webhook-signature": "v2,AAAA"}, "it has no webhook-signature that begins with v1,"),
        (None, "its webhook-signature is none that is known here"),
    ],
    ids=[
        "nothing", "no-id", "long-id", "no-time", "no-number", "late", "early", "no-signature", "v2", "stranger"
    ],
)  # fmt: skip
async def test_who_does_not_sign_is_told_the_same_of_every_partner(nobody, numbers, headers, words):
    headers = headers or signed()
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
