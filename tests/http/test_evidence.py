"""Evidence packs over HTTP, checked as whoever gets one checks it: by the program in the pack, alone."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pypdf
import pytest

from app.audit import signing

from .asking import decided, drafted, problem, register, stock


def contents(pack: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pack)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def verified(pack: bytes, folder: Path, *keys: str) -> subprocess.CompletedProcess[str]:
    """What the pack's own verify.py says of it, with nothing of ours to import."""
    folder.joinpath("pack.zip").write_bytes(pack)
    program = folder / "verify.py"
    program.write_bytes(contents(pack)["verify.py"])
    given = [part for key in keys for part in ("--key", key)]
    command = [sys.executable, "-I", str(program), str(folder / "pack.zip"), *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def log_key(gateway) -> str:
    return signing.load(gateway.settings).known[0].written()


@pytest.fixture
async def stolen(goods_in, manager, approver):
    """An approved incident of three phones."""
    goods = stock(3)
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet], serials=["=SERIAL()"])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    return incident, goods


async def fetched(client, incident: int, **asked: object) -> bytes:
    response = await client.get(f"/v1/incidents/{incident}/evidence", params=asked)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    return response.content


async def test_a_pack_is_whole_to_whoever_has_the_log_s_key(auditor, stolen, log_key, tmp_path):
    incident, goods = stolen
    pack = await fetched(auditor, incident)
    said = verified(pack, tmp_path, log_key)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "exactly those that were submitted" in said.stdout
    rows = list(csv.DictReader(io.StringIO(contents(pack)["devices.csv"].decode())))
    assert {number for row in rows for number in row["imeis"].split()} == set(goods.imeis)
    assert rows[-1]["serial"] == "'=SERIAL()"
    alone = verified(pack, tmp_path)
    assert alone.returncode == 3
    assert "NOT VOUCHED FOR" in alone.stdout


async def test_the_same_pack_is_the_same_bytes(auditor, stolen):
    first = await fetched(auditor, stolen[0])
    await asyncio.sleep(1.5)
    response = await auditor.get(f"/v1/incidents/{stolen[0]}/evidence")
    assert response.content == first
    tag = {"if-none-match": response.headers["etag"]}
    assert (await auditor.get(f"/v1/incidents/{stolen[0]}/evidence", headers=tag)).status_code == 304


async def test_the_report_says_what_where_and_who(auditor, stolen):
    pack = contents(await fetched(auditor, stolen[0]))
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pack["report.pdf"])).pages)
    for word in ("Night of 22 December", "Phone X", stolen[1].pallet, "1,499.70", "Approved"):
        assert word in text


@pytest.mark.parametrize("to", ["police", "insurer", "customs"])
async def test_each_variant_is_whole(auditor, stolen, log_key, tmp_path, to):
    pack = await fetched(auditor, stolen[0], **{"for": to})
    said = verified(pack, tmp_path, log_key)
    assert said.returncode == 0, said.stdout + said.stderr
    held = contents(pack)
    assert ("deliveries.ndjson" in held) == (to == "police")
    assert ("unit_value" in held["devices.csv"].decode()) == (to != "customs")


async def test_that_a_pack_was_made_is_on_the_log(auditor, stolen):
    await fetched(auditor, stolen[0])
    page = await auditor.get("/v1/audit/entries", params={"subject": f"evidence:{stolen[0]}"})
    (entry,) = page.json()["entries"]
    assert entry["body"]["kind"] == "evidence.made"
    assert entry["body"]["detail"]["for"] == "police"


async def test_an_incident_s_entries_are_proven(auditor, stolen):
    await fetched(auditor, stolen[0])
    page = (await auditor.get(f"/v1/incidents/{stolen[0]}/proofs")).json()
    assert len(page["proofs"]) == 3
    assert all(one["proof"].startswith("c2sp.org/tlog-proof@v1\nindex ") for one in page["proofs"])


async def test_a_partner_s_pack_names_the_partner(auditor, stolen):
    problem(
        await auditor.get(f"/v1/incidents/{stolen[0]}/evidence", params={"for": "partner"}),
        400,
        "evidence-partner",
    )
