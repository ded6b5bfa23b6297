"""The engine and partners that take files: what is left there, and what the audit log says of it."""

import asyncio
import hashlib
import json

from app.sandbox.faults import Faults

KINDS = ("sftp_csv", "dirbs_file", "gsma_file")


async def _taken(town, kind, count):
    """Waits until a partner, which looks now and then, has read that so many are blocked."""
    async with asyncio.timeout(10):
        while len(town.blocked(kind)) != count:
            await asyncio.sleep(0.02)


async def test_a_theft_reaches_partners_by_file(town, keys, names):
    told = keys(600)
    for kind in KINDS:
        await town.partner(kind, change={"acknowledged": False})
    incident = await town.incident()
    await town.block(incident, told)
    async with town.worker():
        standings = await town.settled(incident)
        assert {one.block.done for one in standings.values()} == {600}
        await town.release(incident, told[:100])
        await town.settled(incident)
        for kind in KINDS:
            await _taken(town, kind, 500)
    for kind in KINDS:
        assert town.blocked(kind) == names(told[100:])
        assert town.stages[kind].ledger.duplicates == 0


async def test_files_that_did_not_get_there_are_left_again_and_nothing_twice(town, keys, names):
    told = keys(500)
    await town.partner(
        "dirbs_file", change={"acknowledged": False}, faults=Faults(fail_rate=0.4, applied=True)
    )
    incident = await town.incident()
    await town.block(incident, told)
    async with town.worker():
        await town.settled(incident)
        await _taken(town, "dirbs_file", 500)
    assert town.blocked("dirbs_file") == names(told)
    ledger = town.stages["dirbs_file"].ledger
    assert {len(ledger.history(name)) for name in names(told)} == {1}
    assert town.stages["dirbs_file"].misbehaviour.acted["failed"] > 0


async def test_the_audit_log_has_the_hash_of_each_file(town, keys):
    await town.partner("sftp_csv", change={"acknowledged": False})
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker():
        await town.settled(incident)
    said = await town.pool.fetchval("SELECT body FROM audit_entry WHERE kind = 'delivery.attempted'")
    (exchange,) = json.loads(said)["detail"]["exchanges"]
    assert exchange["did"] == "written"
    assert "-block-" in exchange["file"]
    assert len(exchange["sha256"]) == len(hashlib.sha256().hexdigest())
    assert "practice-password" not in said
