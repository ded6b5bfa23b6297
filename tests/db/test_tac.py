"""What is known of TACs, against a real database: who may correct whom, and that the same again changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from app.access.roles import Principal, Role
from app.adapters.contract import Op
from app.core import imei
from app.core.db import Pool, transaction
from app.core.errors import Conflict, Forbidden, Invalid, Missing
from app.delivery import partners
from app.delivery.commands import Command, order
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope, ScopeChange
from app.devices import tac
from app.devices.find import Wanted, find
from app.devices.tac import TacImport
from app.devices.tac_file import read
from app.incidents import decide, incident
from app.incidents.preview import OfModel
from app.incidents.scope import Scope

from .conftest import NOW, person

ADMIN = person("ada", Role.ADMIN)
AUDITOR = person("audrey", Role.AUDITOR)
Imports = Callable[..., Awaitable[TacImport]]


@pytest.fixture
def imports(pool: Pool) -> Imports:
    """Imports the lines of a CSV."""

    async def work(
        *lines: str, source: str = "ours", replace: bool = False, actor: Principal = ADMIN, day: int = 0
    ):
        body = "\n".join(("tac,brand,model", *lines, "")).encode()
        return await transaction(
            pool,
            lambda conn: tac.import_tacs(
                conn, actor, read(io.BytesIO(body)), source=source, digest=hashlib.sha256(body).digest(),
                now=NOW + timedelta(days=day), replace=replace,
            ),
        )  # fmt: skip

    return work


def counts(done: TacImport) -> tuple[int, int, int, int]:
    assert done.lines == done.imported + done.unchanged + done.updated + done.rejected
    return done.imported, done.unchanged, done.updated, done.rejected


async def known(pool: Pool, **wanted) -> list[tuple[str, str, str, str]]:
    async with pool.acquire() as conn:
        found = await tac.known(conn, AUDITOR, limit=1000, **wanted)
    return [(it.tac, it.brand, it.model, it.source) for it in found]


async def found(pool: Pool, done: TacImport, verdict: str | None = None):
    async with pool.acquire() as conn:
        return await tac.findings(conn, AUDITOR, done.import_id, verdict=verdict, after=0, limit=1000)


async def test_what_is_imported_is_known_and_the_same_again_changes_nothing(pool, imports):
    lines = ("01000101,Nordlys,Phone X", "35000202,Haldane,", "35000303,,Plain")
    assert counts(await imports(*lines)) == (3, 0, 0, 0)
    before = await pool.fetch("SELECT * FROM tac ORDER BY tac")
    again = await imports(*lines, day=1)
    assert counts(again) == (0, 3, 0, 0)
    assert await found(pool, again) == []
    assert await pool.fetch("SELECT * FROM tac ORDER BY tac") == before
    assert await known(pool) == [
        ("01000101", "Nordlys", "Phone X", "ours"),
        ("35000202", "Haldane", "", "ours"),
        ("35000303", "", "Plain", "ours"),
    ]
    assert await known(pool, tacs=[1000101]) == [("01000101", "Nordlys", "Phone X", "ours")]
    assert await known(pool, brand=" NORDLYS") == await known(pool, tacs=[1000101])


async def test_a_source_corrects_itself_and_says_what_changed(pool, imports):
    await imports("35000101,Nordlys,Phone X", "35000202,Haldane,Slab")
    done = await imports("35000101,Oxbow,Phone X", "35000202,Haldane,Slab", day=1)
    assert counts(done) == (0, 1, 1, 0)
    (finding,) = await found(pool, done, "updated")
    assert (finding.line, finding.field, finding.value, finding.code) == (2, "brand", "Oxbow", "tac-updated")
    assert finding.sentence == (
        "The brand of TAC 35000101 is 'Oxbow' now; it was 'Nordlys' (ours, 2026-12-22)."
    )
    assert (await known(pool))[0][1] == "Oxbow"


async def test_another_source_fills_what_is_empty_and_contradicts_nothing(pool, imports):
    await imports("35000101,Nordlys,", "35000202,,Slab", "35000303,Oxbow,Plain")
    done = await imports(
        "35000101,Nordlys,Phone X", "35000202,Haldane,", "35000303,Oxbow,Fancy", source="theirs"
    )
    assert counts(done) == (0, 0, 2, 1)
    (finding,) = await found(pool, done, "rejected")
    assert (finding.line, finding.field, finding.code) == (4, "model", "tac-known-differently")
    assert "is known as 'Plain' (ours, 2026-12-22), and this line says 'Fancy'" in finding.sentence
    assert "it was not known" in (await found(pool, done, "updated"))[0].sentence
    assert await known(pool) == [
        ("35000101", "Nordlys", "Phone X", "theirs"),
        ("35000202", "Haldane", "Slab", "theirs"),
        ("35000303", "Oxbow", "Plain", "ours"),
    ]


async def test_a_line_that_may_not_correct_fills_nothing_either(pool, imports):
    await imports("35000101,Nordlys,")
    assert counts(await imports("35000101,Oxbow,Phone X", source="theirs")) == (0, 0, 0, 1)
    assert await known(pool) == [("35000101", "Nordlys", "", "ours")]


async def test_another_source_wins_where_it_is_asked_to(pool, imports):
    await imports("35000101,Nordlys,Phone X", "35000202,Haldane,Slab")
    done = await imports("35000101,Oxbow,", "35000202,Haldane,Slab", source="theirs", replace=True)
    assert counts(done) == (0, 1, 1, 0)
    assert await known(pool) == [
        ("35000101", "Oxbow", "Phone X", "theirs"),
        ("35000202", "Haldane", "Slab", "ours"),
    ]
    assert counts(await imports("35000101,Nordlys,Phone X", "35000202,Haldane,Slab")) == (0, 1, 0, 1)


async def test_of_lines_with_one_tac_the_first_counts(pool, imports):
    lines = ("35000101,Nordlys,Phone X", "35000101,Nordlys,", "35000101,Oxbow,Phone X")
    for expected in ((1, 1, 0, 1), (0, 2, 0, 1)):
        done = await imports(*lines, replace=True)
        assert counts(done) == expected
        (finding,) = await found(pool, done)
        assert (finding.line, finding.code, "line 2" in finding.sentence) == (4, "duplicate-in-file", True)
    assert await known(pool) == [("35000101", "Nordlys", "Phone X", "ours")]


async def test_lines_that_cannot_be_read_are_counted_and_told(pool, imports):
    done = await imports("350001,Nordlys,Phone X", "1000101,Nordlys,Phone X", "x,\x01,y")
    assert counts(done) == (1, 0, 0, 2)
    assert done.warnings == 1
    assert [(it.line, it.verdict, it.code) for it in await found(pool, done)] == [
        (2, "rejected", "tac-without-fac"),
        (3, "warning", "tac-zero-restored"),
        (4, "rejected", "tac-not-digits"),
        (4, "rejected", "text-control"),
    ]
    assert len(await found(pool, done, "rejected")) == 3


async def test_each_import_is_on_the_audit_log(pool, imports):
    done = await imports("35000101,Nordlys,Phone X", "12,Nordlys,Phone X")
    body = b"tac,brand,model\n35000101,Nordlys,Phone X\n12,Nordlys,Phone X\n"
    entry = await pool.fetchval("SELECT body::jsonb FROM audit_entry WHERE kind = 'tac.imported'")
    assert (entry["subject"], entry["actor"]) == (f"tac-import:{done.import_id}", ADMIN.label)
    wanted = {"source": "ours", "imported": 1, "rejected": 1, "sha256": hashlib.sha256(body).hexdigest()}
    assert wanted.items() <= entry["detail"].items()


async def test_nothing_is_left_of_a_file_that_cannot_be_read_or_may_not_be(pool, imports):
    with pytest.raises(Invalid, match="no lines"):
        await imports()
    with pytest.raises(Invalid, match="source"):
        await imports("35000101,Nordlys,Phone X", source="a\x01")
    with pytest.raises(Forbidden, match="tacs:write"):
        await imports("35000101,Nordlys,Phone X", actor=AUDITOR)
    with pytest.raises(Missing):
        async with pool.acquire() as conn:
            await tac.find_import(conn, AUDITOR, 1)
    assert await pool.fetchval("SELECT count(*) FROM tac_import") == 0
    assert await pool.fetchval("SELECT count(*) FROM audit_entry") == 0


async def test_two_imports_at_once_both_stand(pool, imports):
    lines = [
        [f"{35_000_000 + n},Nordlys,Phone {n}" for n in some] for some in (range(900), range(899, 0, -1))
    ]
    first, second = await asyncio.gather(imports(*lines[0]), imports(*lines[1], source="theirs"))
    assert sorted((first.imported, second.imported)) in ([0, 900], [1, 899])
    assert first.rejected == second.rejected == 0
    assert len(await known(pool)) == 900


async def test_a_device_is_shown_with_the_brand_that_is_known_now(pool, imports, registers):
    first, second = (imei.full(tac * 10**6 + 1) for tac in (35000101, 35000202))
    await registers(f"imei1,imei2,serial,gtin\n{first},{second},S1,\n,,S2,08806090000003\n")

    async def shown() -> list[str]:
        async with pool.acquire() as conn:
            return [
                it.brand for it in await find(conn, AUDITOR, Wanted(receipt=1), after=0, limit=9, now=NOW)
            ]

    assert await shown() == ["", ""]
    await imports("35000202,Haldane,Slab")
    assert await shown() == ["Haldane", ""]
    await imports("35000101,Nordlys,Phone X")
    assert await shown() == ["Nordlys", ""]


async def test_a_preview_of_before_there_were_brands_is_read_still(pool, registers, phones, manager):
    await registers(phones(0, 1))
    said = decide.Draft(title="Paris", scope=Scope(serials=("SN000000",)))
    number = (await transaction(pool, lambda conn: decide.draft(conn, manager, said, NOW))).id
    await pool.execute(
        "UPDATE incident SET preview = jsonb_set(preview - 'by_brand', '{by_model,0}', $1)",
        {"model": "Phone X", "devices": 1},
    )
    async with pool.acquire() as conn:
        shown = (await incident.report(conn, manager, number)).incident.preview
    assert (shown.by_brand, shown.by_model) == ([], [OfModel(brand="", model="Phone X", devices=1)])


def webhook(name: str, scope: PartnerScope) -> dict:
    settings = {"url": "https://hook.example", "secret": "whsec_" + "c2VjcmV0" * 5}
    return {
        "name": name,
        "adapter": "webhook",
        "settings": settings,
        "scope": scope,
        "limits": Limits(),
        "now": NOW,
    }


async def test_a_partner_that_is_told_everything_is_not_narrowed_to_brands(conn, keyring):
    number = await partners.add(conn, **webhook("all", PartnerScope(kinds=("imei",))), keyring=keyring)
    partner = await partners.find(conn, number)
    narrow = ScopeChange(kinds=("imei",), brands=("Nordlys",))
    with pytest.raises(Conflict, match="only grow"):
        await partners.change(conn, partner, keyring=keyring, now=NOW, scope=narrow)


async def told(pool: Pool, op: Op, keys: list[int], incident: int) -> dict[str, int]:
    """How many of the identifiers each partner is told of by one order."""

    async def work(conn) -> dict[str, int]:
        number = await order(conn, Command(op, NOW, "test", incident), keys, [1] * len(keys))
        rows = await conn.fetch(
            "SELECT name, wanted FROM progress JOIN partner USING (partner_id) WHERE command_id = $1", number
        )
        return {row["name"]: row["wanted"] for row in rows}

    return await transaction(pool, work)


async def test_a_partner_with_brands_is_told_of_exactly_its_own(pool, imports, keyring):
    scopes = {
        "nord": PartnerScope(kinds=("imei",), brands=("NORDLYS ",)),
        "two": PartnerScope(kinds=("imei",), brands=("haldane",), tacs=("35000303",)),
        "all": PartnerScope(),
    }
    async with pool.acquire() as conn, conn.transaction():
        for name, scope in scopes.items():
            await partners.add(conn, **webhook(name, scope), keyring=keyring)
        number = await conn.fetchval(
            "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
            " VALUES ('t', 'theft', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
        )
    keys = [n * 10**6 + 1 for n in (35000101, 35000202, 35000303, 35000404)]
    assert await told(pool, Op.BLOCK, keys, number) == {"two": 1, "all": 4}
    await imports("35000101,Nordlys,Phone X", "35000202,Haldane,Slab", "35000303,,Plain", "35000404,Oxbow,")
    assert await told(pool, Op.BLOCK, keys, number) == {"nord": 1, "two": 2, "all": 4}
    await imports("35000101,Haldane,Phone X")
    assert await told(pool, Op.BLOCK, keys, number) == {"two": 3, "all": 4}
    assert await told(pool, Op.RELEASE, keys, number) == {"nord": 1, "two": 3, "all": 4}
    await imports("35000101,nordlys,Phone X")
    assert await told(pool, Op.RELEASE, keys, number) == {"nord": 1, "two": 3, "all": 4}
    assert await told(pool, Op.BLOCK, keys, number) == {"nord": 1, "two": 2, "all": 4}
