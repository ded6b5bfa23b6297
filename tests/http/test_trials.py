"""A partner tried out over HTTP: the answer says how it went, and an identifier of ours is refused."""

from __future__ import annotations

from app.core import imei

from .asking import places, problem, register, stock
from .test_partners import added


async def test_a_partner_is_tried_and_the_log_knows_by_whom(admin, auditor, practice):
    stage, settings = await practice("ceir")
    made = await added(admin, "Tried A", settings=settings)
    answer = await admin.post(f"/v1/partners/{made['id']}/try", json={})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["partner"], found["taken"], found["still_blocked"]) == ("Tried A", True, "no")
    assert [(step["op"], step["outcome"], step["code"]) for step in found["steps"]] == [
        ("block", "done", "200"),
        ("release", "done", "200"),
    ]
    assert stage.ledger.counts()["blocked"] == 0
    asked = {"subject": f"partner:{made['id']}", "kind": "partner.tried"}
    (entry,) = (await auditor.get("/v1/audit/entries", params=asked)).json()["entries"]
    assert "admin of the tests" in str(entry)
    assert settings["password"] not in answer.text + str(entry)
    assert (await admin.get(f"/v1/partners/{made['id']}")).json() == made


async def test_a_partner_that_is_away_is_told_with_200_too(admin):
    made = await added(admin, "Tried B", "eir_push", settings={"url": "http://127.0.0.1:9"})
    found = (await admin.post(f"/v1/partners/{made['id']}/try", json={})).json()
    assert (found["taken"], found["steps"][0]["exchanges"][0]["status"]) == (False, None)
    assert "connection refused" in found["steps"][0]["fault"]


async def test_what_is_registered_here_is_never_tried_with(admin, goods_in, manager, practice):
    stage, settings = await practice("eir_push")
    goods = stock(1)
    await register(goods_in, goods)
    path = f"/v1/partners/{(await added(admin, 'Tried C', 'eir_push', settings=settings))['id']}/try"
    refused = problem(await admin.post(path, json={"imei": goods.imeis[0]}), 409, "try-ours")
    assert "is registered here" in refused["detail"]
    wrong = problem(await admin.post(path, json={"imei": "490154203237517"}), 400, "imei-check-digit")
    assert "/imei" in places(wrong)
    problem(await manager.post(path, json={}), 403, "permission-missing")
    assert stage.ledger.calls == 0
    given = imei.full(35_999999_000001)
    assert (await admin.post(path, json={"imei": given, "release_only": True})).json()["identifier"] == given
