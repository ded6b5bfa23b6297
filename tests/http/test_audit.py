"""The audit log over HTTP: each act has its entry, and the head of the log moves on."""

from __future__ import annotations

import asyncio

from .asking import decided, drafted, problem, register, stock


async def kinds(auditor, subject: str) -> list[str]:
    response = await auditor.get("/v1/audit/entries", params={"subject": subject})
    return [entry["body"]["kind"] for entry in response.json()["entries"]]


async def test_each_act_has_its_entry(goods_in, manager, approver, auditor):
    goods = stock(1)
    receipt = await register(goods_in, goods)
    assert await kinds(auditor, f"receipt:{receipt['receipt_id']}") == ["receipt.registered"]
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await decided(manager, incident, "lift", scope={"pallets": [goods.pallet]})
    assert await kinds(auditor, f"incident:{incident}") == [
        "incident.drafted", "incident.submitted", "incident.approved", "incident.lifted", "incident.closed",
    ]  # fmt: skip


async def test_what_is_refused_has_none(goods_in, manager, auditor):
    before = await total(auditor)
    await goods_in.post("/v1/receipts", content=b"imei\n", headers={"content-type": "text/csv"})
    await manager.post("/v1/incidents", json={"title": "t", "scope": {}})
    assert await total(auditor) == before


async def total(auditor) -> list[int]:
    """The entries of what people did; the worker adds its own at any time."""
    found = []
    for kind in ("receipt.registered", "incident.drafted"):
        page = await auditor.get("/v1/audit/entries", params={"kind": kind, "limit": 10_000})
        found.append(len(page.json()["entries"]))
    return found


async def test_entries_come_in_pages(auditor, manager):
    for number in range(3):
        await drafted(manager, serials=[f"AUDIT-{number}"])
    seen, cursor = [], "0"
    while cursor:
        params = {"kind": "incident.drafted", "limit": 2, "cursor": cursor}
        page = (await auditor.get("/v1/audit/entries", params=params)).json()
        seen += [entry["entry_id"] for entry in page["entries"]]
        cursor = page["next"]
    assert seen == sorted(set(seen))
    assert len(seen) >= 3


async def test_entries_are_sealed_and_the_head_moves_on(auditor, manager):
    incident = await drafted(manager, serials=["SEALED"])
    async with asyncio.timeout(10):
        while True:
            page = await auditor.get("/v1/audit/entries", params={"subject": f"incident:{incident}"})
            (entry,) = page.json()["entries"]
            if entry["seq"] is not None:
                break
            await asyncio.sleep(0.1)
    assert len(entry["leaf"]) == 64
    head = (await auditor.get("/v1/audit/checkpoint")).json()
    assert head["size"] > entry["seq"]
    assert len(head["root"]) == 64


async def test_nobody_but_auditors_reads_it(manager):
    problem(await manager.get("/v1/audit/entries"), 403, "permission-missing")
