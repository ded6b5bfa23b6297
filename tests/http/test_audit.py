"""The audit log over HTTP: each act has its entry, and the head of the log moves on."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode

import pytest

from app.audit import checkpoint, note, proof, signing
from app.audit.merkle import leaf_hash, root

from .asking import decided, drafted, problem, register, stock
from .conftest import LOG


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


async def test_an_entry_is_proven_to_whoever_has_the_log_s_key(gateway, auditor, manager):
    incident = await drafted(manager, serials=["PROVEN"])
    page = await auditor.get("/v1/audit/entries", params={"subject": f"incident:{incident}"})
    (entry,) = page.json()["entries"]
    async with asyncio.timeout(10):
        while (
            answer := await auditor.get(f"/v1/audit/entries/{entry['entry_id']}/proof")
        ).status_code == 409:
            await asyncio.sleep(0.1)
    proven = answer.json()
    top, _, below = proven["proof"].partition("\n\n")
    _, index, *path = top.splitlines()
    opened, good = note.opened(below, signing.load(gateway.settings).known)
    head = checkpoint.read(opened.text)
    assert [one.name for one in good] == [head.origin] == [LOG]
    assert proof.includes(
        leaf_hash(proven["body"].encode()),
        int(index.removeprefix("index ")),
        head.size,
        [b64decode(line) for line in path],
        head.root,
    )
    assert json.loads(proven["body"]) == entry["body"]


async def test_a_reader_of_transparency_logs_finds_its_way(gateway, auditor, manager):
    await drafted(manager, serials=["TILED"])
    async with asyncio.timeout(10):
        while (answer := await auditor.get("/audit/checkpoint")).status_code == 404:
            await asyncio.sleep(0.1)
    assert answer.headers["content-type"].startswith("text/plain")
    head = checkpoint.read(note.opened(answer.text, signing.load(gateway.settings).known)[0].text)
    hashes = []
    for number in range(-(-head.size // 256)):
        width = min(256, head.size - number * 256)
        partly = f".p/{width}" if width < 256 else ""
        tile = (await auditor.get(f"/audit/tile/0/{number:03}{partly}")).content
        bundle = (await auditor.get(f"/audit/tile/entries/{number:03}{partly}")).content
        assert len(tile) == 32 * width
        hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
        assert bundle[2 : 2 + int.from_bytes(bundle[:2], "big")].startswith(b"{")
    assert root(hashes) == head.root


@pytest.mark.parametrize("path", ["0/0", "0/999/999", "0/x999/x999/999", "1/999", "entries/x"])
async def test_there_is_no_such_tile(auditor, path):
    problem(await auditor.get(f"/audit/tile/{path}"), 404)


@pytest.mark.parametrize(
    "path", ["/v1/audit/entries", "/v1/audit/entries/1/proof", "/audit/checkpoint", "/audit/tile/0/000"]
)
async def test_nobody_but_auditors_reads_it(manager, path):
    problem(await manager.get(path), 403, "permission-missing")
