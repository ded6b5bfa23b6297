"""What each reader of a pack is told, and that a narrowed one holds nothing of anybody else's: not in a file, not in
the report, not in an entry of the log."""

from __future__ import annotations

import io
import json
from random import Random

import pypdf
import pytest

from app.audit import signing
from app.core import gs1, imei

from .asking import CSV, decided
from .test_evidence import contents, fetched, verified
from .test_partners import added

TACS = (35_611111, 35_622222)
HEADER = "imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency"
GTINS = ("08806090000003", "04006381333931")


class Owned:
    """Phones of one owner, whose every word is his alone."""

    def __init__(self, place: int, rng: Random) -> None:
        def word(kind: str) -> str:
            return kind + "".join(rng.choices("BCDFGHJKLMNPQRSTVWXZ", k=9))

        self.owner, self.site, self.model = word("Own"), word("Site"), word("Mod")
        body = f"3{place}{rng.randrange(10**15):015d}"
        self.pallet = f"{body}{gs1.check_digit(body)}"
        firsts = rng.sample(range(0, 10**6 - 1, 2), 4)
        self.imeis = [imei.full(TACS[place] * 10**6 + first + more) for first in firsts for more in (0, 1)]
        self.serials = [word("SN") for _ in firsts]
        self.lines = [
            f"{self.imeis[2 * n]},{self.imeis[2 * n + 1]},{serial},{GTINS[place]},{self.pallet},{self.site},"
            f"{self.owner},{self.model},{100 + place}.{11 + place},EUR"
            for n, serial in enumerate(self.serials)
        ]

    @property
    def words(self) -> list[str]:
        return [
            self.owner, self.site, self.model, self.pallet, *self.imeis,
            *(one[:14] for one in self.imeis), *self.serials,
        ]  # fmt: skip


@pytest.fixture(scope="module")
async def theft(gateway, practice):
    """The goods of two owners, stolen together, of which two partners are told; and what people wrote of it."""
    rng = Random(str(gateway.url))
    own, other = Owned(0, rng), Owned(1, rng)
    _, told = await practice("webhook")
    partners = []
    for name, tacs in (("Repair North", TACS), ("Repair South", TACS[:1])):
        scope = {"kinds": ["imei"], "tacs": [str(tac) for tac in tacs]}
        partners.append((await added(gateway["admin"], name, "webhook", settings=told, scope=scope))["id"])
    sheet = "\n".join([HEADER, *own.lines, *other.lines, ""]).encode()
    receipt = await gateway["goods-in"].post("/v1/receipts", content=sheet, headers=CSV)
    assert receipt.status_code == 201, receipt.text
    title = f"Goods of {other.owner}, such as {other.imeis[0]}"
    scope = {"pallets": [own.pallet, other.pallet]}
    made = await gateway["incident-manager"].post("/v1/incidents", json={"title": title, "scope": scope})
    incident = made.json()["id"]
    await decided(gateway["incident-manager"], incident, "submit", acknowledged=["sites"])
    await decided(gateway["approver"], incident, "approve")
    return incident, own, other, partners


@pytest.fixture
async def settled(theft, manager, until):
    await until(
        manager, f"/v1/incidents/{theft[0]}", lambda found: found["settled"] and len(found["partners"]) == 2
    )
    return theft


def everything(pack: bytes) -> str:
    """All that stands in a pack, and all that its report says, with and without its line breaks."""
    files = contents(pack)
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(files["report.pdf"])).pages]
    texts = [content.decode() for name, content in files.items() if name != "report.pdf"] + pages
    return "\n".join([*texts, "".join("".join(pages).split())])


def holds(pack: bytes, words: list[str]) -> list[str]:
    text = everything(pack)
    return [word for word in words if word in text]


async def test_the_police_see_all_and_each_call_is_as_the_log_has_it(auditor, settled, gateway, tmp_path):
    incident, own, other, _ = settled
    pack = await fetched(auditor, incident)
    said = verified(pack, tmp_path, signing.load(gateway.settings).known[0].written())
    assert said.returncode == 0, said.stdout
    assert set(own.words + other.words) == set(holds(pack, own.words + other.words))
    said = [json.loads(line) for line in contents(pack)["deliveries.ndjson"].splitlines()]
    calls = [one for one in said if one["type"] == "call"]
    assert {call["name"] for call in calls} == {"Repair North", "Repair South"}
    assert {number for call in calls for number in call["identifiers"]} == {*own.imeis, *other.imeis}
    assert all(call["exchanges"][0]["request_sha256"] for call in calls)


@pytest.mark.parametrize("to", ["police", "insurer", "customs"])
async def test_a_pack_of_one_owner_holds_nothing_of_another_s(auditor, settled, gateway, tmp_path, to):
    incident, own, other, _ = settled
    pack = await fetched(auditor, incident, owner=own.owner, **{"for": to})
    said = verified(pack, tmp_path, signing.load(gateway.settings).known[0].written())
    assert said.returncode == 0, said.stdout
    assert holds(pack, other.words) == []
    assert set(holds(pack, own.imeis)) == set(own.imeis)


async def test_a_partner_s_pack_holds_what_it_was_told_and_no_more(auditor, settled, gateway, tmp_path):
    incident, own, other, (_, south) = settled
    pack = await fetched(auditor, incident, partner=south, **{"for": "partner"})
    said = verified(pack, tmp_path, signing.load(gateway.settings).known[0].written())
    assert said.returncode == 0, said.stdout
    assert (
        holds(pack, [*other.words, "Repair North", own.owner, own.pallet, own.model, own.site, *own.serials])
        == []
    )
    assert set(holds(pack, own.imeis)) == set(own.imeis)


async def test_each_call_to_a_partner_has_its_receipt(auditor, settled):
    incident, _, _, (north, _) = settled
    await fetched(auditor, incident)
    page = (await auditor.get(f"/v1/incidents/{incident}/deliveries/{north}/proofs")).json()
    bodies = [json.loads(one["body"]) for one in page["proofs"]]
    assert bodies
    assert {(body["kind"], body["subject"]) for body in bodies} == {
        ("delivery.attempted", f"partner:{north}")
    }
    assert all(one["proof"].startswith("c2sp.org/tlog-proof@v1\n") for one in page["proofs"])
