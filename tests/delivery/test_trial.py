"""A partner tried out: called about one identifier of nobody's, which it ends by holding no longer; nothing is told of
a secret, and nothing of ours is touched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from functools import partial
from typing import Any

import pytest

from app.access.roles import Principal, Role
from app.core import imei
from app.core.errors import Conflict, Forbidden, Invalid, Missing
from app.core.keyring import Keyring
from app.delivery import partners, reach, trial
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.delivery.trial import TEST_IMEI, TEST_SERIAL, TrialOrder
from app.delivery.wire import HttpWire
from app.sandbox.faults import Faults

from .conftest import utc_now

ADMIN = Principal("k_admin", "Admin", Role.ADMIN)
GIVEN = imei.full(35_000000_000000)


async def tried(town, number: int, wire=trial.open_wire, **said: Any):
    return await trial.tried(town.pool, number, TrialOrder(**said), ADMIN, utc_now(), town.keyring, wire)


async def test_one_that_takes_files_in_a_directory_is_tried_there(town, tmp_path):
    spoken = {"url": "file:///nord", "user": "", "password": "", "host_key": "", "acknowledged": False}
    number = await town.partner("sftp_csv", change=spoken)
    (tmp_path / "nord").mkdir()
    found = await tried(town, number, partial(trial.open_wire, files_root=str(tmp_path)))
    assert (found.taken, found.still_blocked) == (True, "no")
    files = sorted((tmp_path / "nord").iterdir())
    assert ["block" in files[0].name, "release" in files[1].name] == [True, True]
    assert all(TEST_IMEI in file.read_text() for file in files)


async def recorded(town) -> list[dict[str, Any]]:
    rows = await town.pool.fetch("SELECT body FROM audit_entry ORDER BY entry_id")
    return [entry for row in rows if (entry := json.loads(row["body"]))["kind"] == "partner.tried"]


def outcomes(found) -> list[tuple[str, str]]:
    return [(step.op.value, step.outcome.value) for step in found.steps]


def turning(town, name: str, faults: Faults):
    """A wire whose partner has faults from its first answer on."""

    class Turning(HttpWire):
        async def send(self, *arguments: Any, **more: Any):
            reply = await super().send(*arguments, **more)
            town.stages[name].misbehaviour.order(faults)
            return reply

    return lambda partner: Turning(deadline=2, allow_private=True)


@pytest.mark.parametrize("kind", ["ceir", "eir_push", "eir_rest", "webhook"])
async def test_it_is_blocked_and_released_in_the_partners_own_dialect(town, kind):
    found = await tried(town, await town.partner(kind))
    assert outcomes(found) == [("block", "done"), ("release", "done")]
    assert (found.taken, found.still_blocked, found.identifier) == (True, "no", TEST_IMEI)
    assert found.verdict == f"{kind} took it: {TEST_IMEI} was blocked and released again."
    assert all(
        one.status in (200, 201, 202) and one.ms >= 0 for step in found.steps for one in step.exchanges
    )
    said = town.stages[kind].ledger.history(TEST_IMEI)
    assert said == [
        f"{state} {step.key}" for state, step in zip(("blocked", "released"), found.steps, strict=True)
    ]
    assert all(step.key.startswith("try-") for step in found.steps)


async def test_where_devices_are_enrolled_it_is_enrolled_first_and_confirmed_later(town):
    found = await tried(town, await town.partner("knox_guard"))
    assert outcomes(found) == [("enrol", "done"), ("block", "accepted"), ("release", "accepted")]
    assert found.verdict.endswith("What it only accepted it confirms later.")
    again = await tried(town, found.partner_id)
    assert outcomes(again)[0] == ("enrol", "already")


async def test_what_was_sent_and_what_came_back_is_on_the_log(town):
    found = await tried(town, await town.partner("eir_push"))
    (entry,) = await recorded(town)
    assert (entry["subject"], entry["actor"]) == (f"partner:{found.partner_id}", ADMIN.label)
    kept = entry["detail"]
    assert (kept["identifier"], kept["taken"], kept["still_blocked"]) == (TEST_IMEI, True, "no")
    (sent,) = kept["steps"][1]["exchanges"]
    request = f"DELETE {sent['address']}\n".encode()
    assert sent["request_sha256"] == hashlib.sha256(request).hexdigest()


async def test_a_paused_partner_is_tried_and_stays_paused(town):
    number = await town.partner("ceir")
    async with town.pool.acquire() as conn:
        await partners.pause(conn, number, "maintenance")
    assert (await tried(town, number)).taken
    async with town.pool.acquire() as conn:
        assert (await partners.find(conn, number)).paused


async def test_a_partner_that_does_not_know_us_is_asked_once_and_is_not_paused_by_it(town):
    number = await town.partner("ceir", change={"password": "a-wrong-one"})
    found = await tried(town, number)
    assert outcomes(found) == [("block", "retry")]
    assert found.steps[0].fault == "HTTP 401: the partner does not accept our credentials"
    assert found.steps[0].exchanges[0].status == 401
    assert (found.taken, found.still_blocked) == (False, "no")
    assert "No release was sent" in found.verdict
    async with town.pool.acquire() as conn:
        partner = await partners.find(conn, number)
    assert (partner.paused, partner.failures, partner.last_fault) == (False, 0, "")


@pytest.mark.parametrize(
    ("faults", "outcome", "words"),
    [
        (Faults(refuse_rate=1), "refused", "206"),
        (Faults(item_retry_rate=1), "retry", "nothing was taken"),
        (Faults(calls_per_second=0.001), "retry", "it asks us to slow down, and to come again after"),
    ],
)
async def test_a_block_that_is_not_taken_needs_no_release(town, faults, outcome, words):
    number = await town.partner("ceir", faults=faults)
    if faults.calls_per_second:
        assert (await tried(town, number)).still_blocked == "yes"
    found = await tried(town, number)
    assert outcomes(found) == [("block", outcome)]
    assert words in found.steps[0].why
    assert not found.taken


async def test_a_release_that_fails_is_told_loudly_and_made_good_later(town):
    number = await town.partner("ceir")
    found = await tried(town, number, turning(town, "ceir", Faults(refuse_rate=1)))
    assert outcomes(found) == [("block", "done"), ("release", "refused")]
    assert (found.taken, found.still_blocked) == (False, "yes")
    assert f"{TEST_IMEI} IS STILL BLOCKED at ceir" in found.verdict
    assert town.blocked("ceir") == [TEST_IMEI[:14]]
    town.stages["ceir"].misbehaviour.order(Faults())
    found = await tried(town, number, release_only=True)
    assert outcomes(found) == [("release", "done")]
    assert (found.taken, town.blocked("ceir")) == (True, [])
    assert [entry["detail"]["still_blocked"] for entry in await recorded(town)] == ["yes", "no"]


async def test_a_block_that_may_have_been_made_is_released_all_the_same(town):
    number = await town.partner("eir_push", faults=Faults(drop_rate=1, applied=True))
    found = await tried(town, number)
    assert outcomes(found) == [("block", "unknown"), ("release", "unknown")]
    assert found.still_blocked == "perhaps"
    assert "MAY STILL BE BLOCKED" in found.verdict
    assert found.steps[0].fault.endswith("it may have acted or not")
    assert town.blocked("eir_push") == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "connection refused"),
        ("http://no-such-host.invalid", "host name not found"),
    ],
)
async def test_what_never_reached_a_partner_blocked_nothing(town, url, words):
    number = await town.partner("eir_push", change={"url": url})
    found = await tried(town, number)
    assert outcomes(found) == [("block", "retry")]
    assert found.still_blocked == "no"
    assert (
        found.verdict == f"eir_push did not take the block: nothing reached it: {words}. No release was sent."
    )


async def test_a_partner_without_tls_heard_nothing(town):
    """The handshake failed, and calls come after it."""
    number = await town.partner("eir_push")
    await town.pool.execute("UPDATE partner SET settings = replace(settings::text, 'http:', 'https:')::jsonb")
    found = await tried(town, number)
    assert (outcomes(found), found.still_blocked) == ([("block", "retry")], "no")
    assert "nothing reached it: TLS: wrong version number" in found.verdict


async def test_a_directory_that_is_not_there_got_no_file(town, tmp_path):
    spoken = {"url": "file:///nord/in", "user": "", "password": "", "host_key": "", "acknowledged": False}
    number = await town.partner("sftp_csv", change=spoken)
    found = await tried(town, number, partial(trial.open_wire, files_root=str(tmp_path)))
    assert (outcomes(found), found.still_blocked) == ([("block", "retry")], "no")
    assert "nothing was left there: the directory /nord/in: no such file or directory" in found.verdict


async def test_a_release_that_never_arrived_left_it_blocked(town):
    number = await town.partner("eir_push")

    class Closing(HttpWire):
        async def send(self, *arguments: Any, **more: Any):
            reply = await super().send(*arguments, **more)
            await town.runners[0].cleanup()
            # A new connection each time: one that was kept may have carried the call before it broke.
            await self.close()
            self.__init__(deadline=2, allow_private=True)
            return reply

    found = await tried(town, number, lambda partner: Closing(deadline=2, allow_private=True))
    assert outcomes(found) == [("block", "done"), ("release", "retry")]
    assert found.still_blocked == "yes"
    assert "did not take the release: nothing reached it: connection refused." in found.verdict


async def test_a_partner_that_hangs_is_given_up_at_its_deadline(town):
    number = await town.partner("eir_push", faults=Faults(hang_rate=1))
    found = await tried(town, number, lambda partner: HttpWire(deadline=0.2, allow_private=True))
    assert "timed out after 0.2 s" in found.steps[0].fault
    assert found.steps[0].exchanges[0].status is None


async def test_what_somebody_else_may_have_blocked_there_stays_blocked(town):
    number = await town.partner("ceir")
    await tried(town, number, turning(town, "ceir", Faults(refuse_rate=1)), imei=GIVEN)
    town.stages["ceir"].misbehaviour.order(Faults())
    found = await tried(town, number, imei=GIVEN)
    assert outcomes(found) == [("block", "already")]
    assert (found.taken, found.still_blocked) == (False, "yes")
    assert "left blocked as it was found" in found.verdict
    assert town.blocked("ceir") == [GIVEN[:14]]
    assert (await tried(town, number, imei=GIVEN, release_only=True)).taken


async def test_our_own_identifier_is_released_whoever_left_it_there(town):
    number = await town.partner("ceir")
    await tried(town, number, turning(town, "ceir", Faults(refuse_rate=1)))
    town.stages["ceir"].misbehaviour.order(Faults())
    assert outcomes(await tried(town, number)) == [("block", "already"), ("release", "done")]


async def test_nothing_of_ours_is_ever_tried_with(town):
    number = await town.partner("webhook")
    incident = await town.incident()
    listed = 35_111111_000001
    await town.block(incident, [listed])
    await town.pool.execute("INSERT INTO device_imei (key, device_id) VALUES ($1, 1)", listed + 1)
    await town.pool.execute("INSERT INTO serial_number (serial, gtin) VALUES ('SN-1', '')")
    for said, words in (
        ({"imei": imei.full(listed)}, "was named in an incident here"),
        ({"imei": imei.full(listed + 1)}, "is registered here"),
        ({"serial": imei.full(listed + 1)}, "is registered here"),
        ({"serial": "SN-1", "release_only": True}, "was named in an incident here"),
    ):
        with pytest.raises(Conflict, match=words):
            await tried(town, number, **said)
    assert town.stages["webhook"].ledger.calls == 0
    assert await recorded(town) == []


async def test_a_partner_of_serials_is_tried_with_a_serial(town):
    scope = PartnerScope(kinds=("serial",))
    number = await town.partner("webhook", scope=scope)
    found = await tried(town, number)
    assert (found.identifier, found.kind, found.taken) == (TEST_SERIAL, "serial", True)
    assert (await tried(town, number, serial="R58M-TEST")).identifier == "R58M-TEST"
    with pytest.raises(Invalid, match="is not told of any imei; it is told of: serial"):
        await tried(town, number, imei=GIVEN)


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"imei": "490154203237517"}, "/imei"),
        ({"imei": GIVEN, "serial": "A"}, "/serial"),
        ({"serial": " A"}, "/serial"),
        ({"ref": "7"}, "/ref"),
    ],
)
async def test_what_is_no_identifier_is_refused(town, said, pointer):
    with pytest.raises(Invalid) as caught:
        await tried(town, await town.partner("webhook"), **said)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]


async def test_who_may_not_change_partners_may_not_try_them(town):
    number = await town.partner("ceir")
    manager = Principal("k", "M", Role.INCIDENT_MANAGER)
    with pytest.raises(Forbidden):
        await trial.tried(town.pool, number, TrialOrder(), manager, utc_now(), town.keyring)
    with pytest.raises(Missing):
        await tried(town, 987654)
    async with town.pool.acquire() as conn, conn.transaction():
        await partners.remove(conn, number, utc_now())
    with pytest.raises(Conflict, match="was removed"):
        await tried(town, number)


async def test_no_secret_is_told(town):
    """Neither one in the query of an address, nor one that stands in its path or that the partner repeats."""
    secret = "whsec_" + "c2VjcmV0" * 5
    kept = {"secret": secret, "url": f"http://127.0.0.1:9/{secret}/in?token=in-the-query&b"}
    async with town.pool.acquire() as conn:
        number = await partners.add(
            conn,
            name="Nobody",
            adapter="webhook",
            settings=kept,
            scope=PartnerScope(),
            limits=Limits(),
            now=utc_now(),
            keyring=town.keyring,
            allow_private=True,
        )
    found = await tried(town, number)
    assert found.steps[0].exchanges[0].address == "http://127.0.0.1:9/•••/in?token=•••&b=•••"
    assert found.steps[0].fault == "nothing reached it: connection refused"
    told = json.dumps(await recorded(town)) + repr(found)
    assert "in-the-query" not in told
    assert "c2VjcmV0" not in told


async def test_what_was_begun_is_ended_although_nobody_waits(town):
    number = await town.partner("eir_push", faults=Faults(latency_ms=300))
    asking = asyncio.create_task(tried(town, number))
    while not town.stages["eir_push"].ledger.calls:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    history = town.stages["eir_push"].ledger.history(TEST_IMEI)
    assert [line.split()[0] for line in history] == ["blocked", "released"]
    assert len(await recorded(town)) == 1


async def test_what_we_could_not_even_begin_is_told_as_ours(town):
    """Neither a missing key nor an address that is not allowed is the partner's doing."""
    number = await town.partner("webhook")
    none = Keyring([], random.Random(1).randbytes)
    locked = await trial.tried(town.pool, number, TrialOrder(), ADMIN, utc_now(), none)
    assert "did not take the block: it was not called: The secret at partner" in locked.verdict
    assert locked.still_blocked == "no"
    await town.pool.execute("UPDATE partner SET allow_private = false")
    inside = await tried(town, number)
    assert f"nothing reached it: {reach.WHY}" in inside.verdict
    assert (inside.still_blocked, town.stages["webhook"].ledger.calls) == ("no", 0)
