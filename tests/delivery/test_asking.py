"""Partners that are asked: what they left for us is booked once, and what they hold is what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest

from app.access.roles import Principal, Role
from app.adapters import registry
from app.adapters.contract import (
    Answer,
    Batch,
    Confirmation,
    Failing,
    Holding,
    Kind,
    Op,
    Outcome,
    Report,
    Wire,
)
from app.core.db import transaction
from app.core.errors import Conflict
from app.core.imei import full
from app.core.sql import queries
from app.delivery import again, asking, partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.sandbox.faults import Faults

from .conftest import utc_now

ADMIN = Principal("ada", "Ada", Role.ADMIN)


class _Settings(msgspec.Struct):
    pass


class Archive:
    """A partner that takes what it is told, says so later in a file, and can be asked what it holds."""

    kind: ClassVar[str] = "archive"
    title: ClassVar[str] = "Archive"
    settings: ClassVar[type[msgspec.Struct]] = _Settings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False
    batch_size = 500
    held: ClassVar[dict[str, str]] = {}
    reports: ClassVar[dict[str, list[Confirmation]]] = {}
    broken: ClassVar[bool] = False
    polls: ClassVar[int] = 0

    def __init__(self, settings: Any) -> None:
        pass

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        answers = [self._told(batch.op, order.name) for order in batch.orders]
        done = [Confirmation(order.name, batch.op, Answer(Outcome.DONE)) for order in batch.orders]
        self.reports[f"{batch.key}.ack"] = done
        return answers

    def _told(self, op: Op, name: str) -> Answer:
        if op is Op.BLOCK and self.held.get(name) == "somebody else":
            return Answer(Outcome.ALREADY)
        if op is Op.BLOCK:
            self.held[name] = "ours"
        else:
            self.held.pop(name, None)
        return Answer(Outcome.ACCEPTED, ref="ours")

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        Archive.polls += 1
        if self.broken:
            raise Failing("HTTP 500")
        return [Report(name, tuple(said), "1 line is not understood") for name, said in self.reports.items()]

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        for name in names:
            self.reports.pop(name, None)

    async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
        return [Holding(name, ref) for name, ref in self.held.items()]


@pytest.fixture
async def archive(pool, keyring, monkeypatch) -> int:
    known = {**registry.adapters(), "archive": Archive}
    monkeypatch.setattr(registry, "adapters", lambda: known)
    for kept in (Archive.held, Archive.reports):
        kept.clear()
    Archive.broken, Archive.polls = False, 0
    said: dict[str, Any] = {"name": "Archive", "adapter": "archive", "settings": {}, "now": utc_now()}
    said["keyring"] = keyring
    scope, limits = PartnerScope(), Limits()
    return await transaction(pool, lambda conn: partners.add(conn, **said, scope=scope, limits=limits))


async def asked(pool, desk) -> None:
    """Everybody who is due, and now, is asked."""
    await pool.execute("UPDATE partner_pace SET poll_at = now(), reconcile_at = now()")
    while await asking.step(desk):
        pass


async def test_what_is_accepted_twice_is_waited_for_once(town, archive, keys, pool):
    """Told again before the partner has confirmed it, it counts for the command that told it last."""
    incident = await town.incident()
    await town.block(incident, keys(3))
    async with town.worker() as desk:
        await town.until(incident, lambda all_: all_["Archive"].block.accepted == 3)
        wanted = again.Replay(which=again.Which.ALL)
        await transaction(pool, lambda conn: again.replay(conn, ADMIN, archive, wanted, utc_now()))
        while await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0"):
            await asyncio.sleep(0.02)
        await asked(pool, desk)
    counts = await pool.fetchrow("SELECT sum(accepted), sum(done), sum(superseded) FROM progress")
    assert tuple(counts) == (0, 3, 3)


async def test_a_word_that_repeats_no_reference_takes_none_away(town, archive, keys, pool):
    """The partner confirms by the identifier alone, and the release will need its reference of the block."""
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker() as desk:
        while "ours" not in Archive.held.values():
            await asyncio.sleep(0.02)
        while not await pool.fetchval("SELECT count(*) FROM delivery_item WHERE state = 'accepted'"):
            await asyncio.sleep(0.02)
        await asked(pool, desk)
    item = await pool.fetchrow("SELECT state, ref FROM delivery_item")
    assert tuple(item) == ("confirmed", "ours")


async def test_what_a_partner_leaves_for_us_is_booked_once(town, pool, keys, archive):
    incident = await town.incident()
    await town.block(incident, keys(20))
    async with town.worker() as desk:
        await town.until(incident, lambda all_: all_["Archive"].block.accepted == 20)
        left = dict(Archive.reports)
        await asked(pool, desk)
        assert Archive.reports == {}
        Archive.reports.update(left)
        await asked(pool, desk)
        block = (await town.settled(incident))["Archive"].block
    assert (block.done, block.accepted) == (20, 0)
    texts = [row["body"] for row in await pool.fetch("SELECT body FROM audit_entry")]
    assert any('"not_understood":"1 line is not understood"' in text for text in texts)


async def test_a_partner_that_cannot_be_asked_is_asked_later(town, pool, archive):
    Archive.broken = True
    async with town.worker() as desk:
        await asked(pool, desk)
    assert Archive.polls == 1
    assert await pool.fetchval("SELECT poll_at > now() + interval '1 minute' FROM partner_pace")


async def test_what_a_partner_lost_or_kept_is_mended(town, pool, keys, archive):
    incident = await town.incident()
    await town.block(incident, keys(20))
    async with town.worker() as desk:
        await town.until(incident, lambda all_: all_["Archive"].block.accepted == 20)
        await town.release(incident, keys(5))
        await town.until(incident, lambda all_: all_["Archive"].release.accepted == 5)
        await asked(pool, desk)
        for key in keys(10)[5:]:
            del Archive.held[full(key)]
        for key in keys(3):
            Archive.held[full(key)] = "ours"
        stranger = full(35_999999_000001)
        Archive.held[stranger] = "somebody else"
        await pool.execute("UPDATE partner_pace SET reconcile_at = now()")
        await asking.step(desk)
        await town.until(incident, lambda all_: all_["Archive"].again and all_["Archive"].again.done == 8)
        assert set(Archive.held) == {stranger, *map(full, keys(20)[5:])}
        await asked(pool, desk)
        await asked(pool, desk)
    found = await pool.fetchval("SELECT reconciled FROM partner_pace")
    assert (found["held"], found["missing"], found["surplus"]) == (16, 0, 0)
    texts = [row["body"] for row in await pool.fetch("SELECT body FROM audit_entry")]
    assert any('"missing":5' in text and '"surplus":3' in text for text in texts)


async def test_somebody_elses_block_is_not_mended(town, pool, keys, archive):
    """Blocked by us too, and released again; the other who had blocked it first holds it still."""
    name = full(keys(1)[0])
    Archive.held[name] = "somebody else"
    incident = await town.incident()
    async with town.worker() as desk:
        await town.block(incident, keys(1))
        assert (await town.settled(incident))["Archive"].block.already == 1
        await town.release(incident, keys(1))
        assert (await town.settled(incident))["Archive"].release.not_ours == 1
        await asked(pool, desk)
    assert (await town.standings(incident))["Archive"].again is None
    assert Archive.held == {name: "somebody else"}


async def test_one_that_cannot_be_asked_says_so(town, pool):
    number = await town.partner("webhook")
    with pytest.raises(Conflict, match="resync"):
        await transaction(pool, lambda conn: asking.reconcile(conn, ADMIN, number, utc_now()))


async def test_who_is_asked_for_again_meanwhile_is_asked_again(town, pool, keys, archive):
    """The operator asks while the worker is at it: what it hears now is of before."""

    class Meanwhile(Archive):
        async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
            await transaction(pool, lambda conn: asking.reconcile(conn, ADMIN, archive, utc_now()))
            return await super().holdings(wire, at)

    async with town.worker(slots=0) as desk:
        async with pool.acquire() as conn:
            contact = await desk.contacts.of(conn, archive)
        desk.contacts._known[archive] = msgspec.structs.replace(contact, adapter=Meanwhile(None))
        await pool.execute("UPDATE partner_pace SET poll_at = 'infinity', reconcile_at = now()")
        assert await asking.step(desk)
        assert await pool.fetchval("SELECT reconcile_at <= now() FROM partner_pace")


async def test_who_has_waited_longest_is_asked_first(town, pool, archive):
    """One that leaves results only is not put behind by when it would be compared."""
    later = {"name": "Later", "adapter": "archive", "settings": {}, "now": utc_now(), "keyring": town.keyring}
    scope, limits = PartnerScope(), Limits()
    number = await transaction(pool, lambda conn: partners.add(conn, **later, scope=scope, limits=limits))
    moments = "UPDATE partner_pace SET poll_at = now() - $2::interval, reconcile_at = now() - $3::interval"
    for asked, waits, compared in ((archive, 1, 1000), (number, 60, -1000)):
        since = timedelta(seconds=waits), timedelta(seconds=compared)
        await pool.execute(f"{moments} WHERE partner_id = $1", asked, *since)
    claim = queries("lanes").claim_asking
    assert (await pool.fetchrow(claim, ["archive"], [], 60, 5, []))["partner_id"] == number


async def test_new_limits_reach_a_lane_that_is_being_worked(town, pool):
    number = await town.partner("eir_push", limits=Limits(max_inflight=1), faults=Faults(latency_ms=300))
    incident = await town.incident()
    await town.block(incident, [35_555555_000000 + 16 * place for place in range(12)])
    async with town.worker():
        await town.until(incident, lambda all_: all_["eir_push"].block.done >= 2)
        await pool.execute("UPDATE partner SET rate = 0.001, burst = 1 WHERE partner_id = $1", number)
        await pool.execute("UPDATE partner_pace SET tokens = 0, tokens_at = now()")
        await asyncio.sleep(2.5)
        told = (await town.standings(incident))["eir_push"].block.done
        await asyncio.sleep(1)
        assert told == (await town.standings(incident))["eir_push"].block.done < 12
