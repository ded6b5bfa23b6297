"""The command line as people and scripts use it: real processes on a database of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core import gs1, imei
from app.sandbox.server import KINDS

from .command import Gateway
from .packs import assert_there_is_evidence

PALLET = "34012345000000001" + str(gs1.check_digit("34012345000000001"))
FIRST = 35209900000000
STOLEN = imei.full(FIRST)


def _gone(gateway: Gateway) -> bool:
    return _soon(lambda: not gateway.processes())


def _soon(happens: Callable[[], bool], within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ready(gateway: Gateway) -> int:
    with urllib.request.urlopen(f"{gateway.url}/health/ready", timeout=5) as answer:
        return int(answer.status)


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that is up, with everything stopped afterwards."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway") / "data")
    with gateway.started("up", "--port", "0", until="Administrator key"):
        yield gateway
    assert _gone(gateway), gateway.processes()


@pytest.fixture(scope="module")
def approver(gateway: Gateway) -> str:
    made = gateway.told("key", "create", "--name", "Marie", "--role", "approver")
    assert set(made) == {"id", "key"}
    return str(made["key"])


@pytest.fixture
def goods(tmp_path: Path) -> Path:
    rows = [f"{imei.full(FIRST + number)},{PALLET}" for number in range(5)]
    path = tmp_path / "goods.csv"
    path.write_text("\n".join(["imei,pallet", *rows, "=1+1,"]) + "\n")
    return path


def test_up_says_where_it_is_and_makes_the_first_key(gateway: Gateway) -> None:
    assert re.search(r"^IMEI gateway is up at http://127\.0\.0\.1:\d+$", gateway.said, re.MULTILINE)
    assert f"Documentation: {gateway.url}/docs" in gateway.said
    assert f"Data directory: {gateway.data_dir}" in gateway.said
    kept = gateway.data_dir / "admin.key"
    assert gateway.said.rstrip().endswith(kept.read_text().strip())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert _ready(gateway) == 200
    assert (gateway.data_dir / "gateway.url").read_text().strip() == gateway.url


def test_a_theft_from_goods_in_to_release(
    gateway: Gateway, approver: str, goods: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    registered = gateway.run("register", str(goods), "--rejects", str(rejects), "--json")
    assert registered.returncode == 3
    receipt = json.loads(registered.stdout)
    assert (receipt["registered"], receipt["rejected"]) == (5, 1)
    header, row = rejects.read_text().splitlines()
    assert header.endswith("reject_code,reject_sentence")
    assert "'=1+1" in row

    partners = ("sandbox", "--ports", ",".join("0" for _ in KINDS), "--add")
    practising = Gateway(gateway.data_dir)
    with practising.started(*partners, until="until Ctrl-C"):
        assert re.search(r"practice webhook +http://\S+/webhook", practising.said)
        declared = gateway.told("declare", "--title", "Paris", "--pallet", PALLET, "--yes")
        number = str(declared["id"])
        assert (declared["state"], declared["preview"]["devices"]) == ("submitted", 5)
        assert gateway.told("status", STOLEN)["results"][0]["status"] == "suspect"

        alone = gateway.run("approve", number)
        assert alone.returncode == 6
        assert "somebody else must approve" in alone.stderr
        assert gateway.told("approve", number, key=approver)["state"] == "approved"
        assert gateway.told("status", STOLEN[:14], STOLEN)["results"][0]["status"] == "blocked"
        carrier = gateway.told("key", "create", "--name", "Carrier", "--role", "carrier")["key"]
        ours, theirs = (gateway.told("status", STOLEN, key=key)["results"][0] for key in (approver, carrier))
        assert ours == {**theirs, "incidents": [declared["id"]]}
        assert (
            gateway.told("incidents", "--reference", theirs["reference"])["incidents"][0]["id"]
            == declared["id"]
        )
        _assert_everybody_is_told(gateway, number)
        _assert_a_question_is_noted(gateway, number, carrier)

        lifted = gateway.approved("lift", number, "--imei", STOLEN, key=approver)
        assert (lifted["state"], lifted["would"]["identifiers"]) == ("done", 1)
        assert gateway.told("status", STOLEN)["results"][0]["status"] == "clear"
        _assert_everybody_is_told(gateway, number)
        assert_there_is_evidence(gateway, number, tmp_path / "pack.zip")

    assert gateway.told("incident", number)["claims"]["lifted"] == 1
    assert [it["id"] for it in gateway.told("incidents")["incidents"]] == [int(number)]
    verified = gateway.told("audit", "verify")
    assert verified["fault"] is None
    assert verified["entries"] > 5


def _assert_everybody_is_told(gateway: Gateway, number: str) -> None:
    watched = gateway.run("watch", number, "--timeout", "50", "--json")
    assert watched.returncode == 0, watched.stdout + watched.stderr
    last = json.loads(watched.stdout.splitlines()[-1])
    assert last["settled"]
    assert len(last["partners"]) == len(KINDS)


def _assert_a_question_is_noted(gateway: Gateway, number: str, carrier: str) -> None:
    headers = {"Authorization": f"Bearer {carrier}"}
    asked = urllib.request.Request(f"{gateway.url}/v1/status/{STOLEN}", headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert json.load(answer)["status"] == "blocked"
    seen: list[dict[str, Any]] = []
    until = time.monotonic() + 20
    while not seen and time.monotonic() < until:
        seen = gateway.told("sightings", "--incident", number)["sightings"]
    assert [(it["imei"], it["status"], it["way"]) for it in seen] == [(STOLEN[:14], "blocked", "api")]
    assert "blocked" in gateway.run("sightings", STOLEN).stdout
    assert "1; 'sightings --incident" in gateway.run("incident", number).stdout
    (raised,) = gateway.told("alerts")["alerts"]
    assert (raised["kind"], raised["subject"]) == ("sighting", f"incident:{number}")
    assert "sighting" in gateway.run("alerts").stdout
    assert gateway.told("alerts", "see", str(raised["id"]))["changed"]
    assert gateway.told("alerts")["alerts"] == []


def test_practice_partners_join_only_where_a_gateway_answers(gateway: Gateway) -> None:
    nowhere = f"http://127.0.0.1:{_free_port()}"
    refused = gateway.run("sandbox", "--ports", ",".join("0" for _ in KINDS), "--add", "--gateway", nowhere)
    assert refused.returncode == 1
    assert f"No gateway answers at {nowhere}" in refused.stderr
    assert "--gateway" in refused.stderr
    too_many = gateway.run("sandbox", "--ports", "0," * 20 + "0")
    assert too_many.returncode == 2
    assert "ports, for ceir, eir_push" in too_many.stderr


def test_a_draft_waits_until_somebody_submits_it(gateway: Gateway) -> None:
    drafted = gateway.told("declare", "--title", "Lyon", "--imei", "490154203237518", "--draft")
    assert drafted["state"] == "draft"
    number = str(drafted["id"])
    assert gateway.run("watch", number, "--timeout", "0").returncode == 4
    assert gateway.told("submit", number)["state"] == "submitted"
    assert gateway.told("withdraw", number, "--reason", "found again")["state"] == "withdrawn"
    assert gateway.run("watch", number).stdout.endswith("withdrawn; nothing was ever blocked for it\n")
    assert "1 were suspect, none was ever blocked" in gateway.run("incident", number).stdout


def test_a_draft_that_cannot_be_submitted_is_not_left_behind_unsaid(gateway: Gateway) -> None:
    empty = "34012345000000099" + str(gs1.check_digit("34012345000000099"))
    declared = gateway.run("declare", "--title", "Empty", "--pallet", empty, "--yes")
    assert declared.returncode == 1
    left = re.search(r"Incident (\d+) stays a draft; .* imei-gateway withdraw (\d+) ", declared.stderr)
    assert left, declared.stderr
    assert gateway.told("incident", left[2])["state"] == "draft"
    assert gateway.told("withdraw", left[2], "--reason", "empty")["state"] == "withdrawn"


def test_a_receipt_shows_every_rejection_and_warning_by_its_line(gateway: Gateway, tmp_path: Path) -> None:
    body = "35" + "209988"
    good = [f"{imei.full(int(body) * 10**6 + number)}," for number in range(1, 4)]
    odd = f"{imei.full(2 * 10**12 + 7)},"
    wrong = [f"{number}," for number in range(12)]
    twice = f"{imei.full(int(body) * 10**6 + 1)},{PALLET}"
    good[0] += f"34012345000000002{gs1.check_digit('34012345000000002')}"
    path, rejects = tmp_path / "odd.csv", tmp_path / "rejects.csv"
    path.write_text("\n".join(["imei,pallet", good[0], twice, odd, *wrong, *good[1:]]) + "\n")
    shown = gateway.run("register", str(path), "--rejects", str(rejects))
    assert shown.returncode == 3
    assert "4 imei-reporting-body" in " ".join(shown.stdout.split())
    assert f"… and 3 more: all of them are in {rejects}\n" in shown.stdout
    number = shown.stdout.split()[1]
    again = gateway.told("receipt", number)
    assert (again["warnings"], [it["line"] for it in again["warnings_found"]]) == (1, [4])
    lines = [it["line"] for it in again["rejections"]]
    assert lines == [3, *range(5, 17)]
    assert len(rejects.read_text().splitlines()) == 1 + len(lines)
    assert "4 imei-reporting-body" in " ".join(gateway.run("receipt", number).stdout.split())
    assert gateway.run("receipt", "999999").returncode == 1


def test_nothing_is_declared_where_nobody_can_be_asked(gateway: Gateway) -> None:
    declared = gateway.run("declare", "--title", "Nobody", "--imei", "490154203237518")
    assert declared.returncode == 2
    assert "--yes" in declared.stderr
    assert "Nobody" not in gateway.run("incidents").stdout


def test_partners_are_added_paused_and_resumed(gateway: Gateway, approver: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"username": "u", "password": "hunter-2"}')
    texts = (
        "url=http://127.0.0.1:9/",
        "devices_per_call=20",
        'reasons={"theft": "Vol"}',
        "stolen_waits=true",
    )
    pairs = [part for text in texts for part in ("--setting", text)]
    pairs.append("--allow-private")
    said = ("partner", "add", "Nord", "--adapter", "ceir", "--settings", str(settings), *pairs)
    proposal = gateway.approved(*said, by=approver)
    assert "hunter-2" not in json.dumps(proposal)
    (added,) = (it for it in gateway.told("partner", "list")["partners"] if it["name"] == "Nord")
    assert proposal["place"] == f"partner:{added['id']}"
    assert added["allow_private"] is True
    assert added["settings"]["devices_per_call"] == 20
    assert (added["settings"]["reasons"], added["settings"]["stolen_waits"]) == ({"theft": "Vol"}, True)
    assert "hunter-2" not in json.dumps(added)
    reasonless = gateway.run("partner", "pause", "Nord", "--reason", " ")
    assert "A reason is wanted" in reasonless.stderr
    assert gateway.told("partner", "pause", "Nord", "--reason", "maintenance")["health"] == "paused"
    assert gateway.told("partner", "resume", str(added["id"]))["health"] == "working"
    assert {it["kind"] for it in gateway.told("partner", "kinds")["adapters"]} >= {"ceir", "webhook"}
    drawn = gateway.run("partner", "kinds", "--data-dir", "/nowhere").stdout
    assert '{"theft": "Stolen", "loss": "Lost"}' in drawn
    assert "stolen_waits     false" in drawn
    assert "accepted, not blocked" in drawn


def test_a_tac_database_is_imported_listed_and_found(gateway: Gateway, tmp_path: Path) -> None:
    path, rejects = tmp_path / "brands.csv", tmp_path / "rejects.csv"
    path.write_text("tac,brand,model\n35440001,Nordlys,Phone X\n1440002,Haldane,Slab\n")
    done = gateway.told("tac", "import", str(path))
    assert (done["source"], done["imported"], done["warnings"]) == ("brands.csv", 2, 1)
    path.write_text("tac,brand,model\n35440001,Oxbow,Phone X\n=1+1,Oxbow,\n")
    theirs = ("tac", "import", str(path), "--source", "theirs")
    kept = gateway.run(*theirs, "--rejects", str(rejects))
    assert kept.returncode == 3
    assert "is known as 'Nordlys'" in kept.stdout
    assert [line.split(",")[:4] for line in rejects.read_text().splitlines()[1:]] == [
        ["3", "tac", "'=1+1", "tac-not-digits"],
        ["2", "brand", "Oxbow", "tac-known-differently"],
    ]
    assert json.loads(gateway.run(*theirs, "--replace", "--json").stdout)["updated"] == 1
    found = gateway.told("tac", "find", imei.full(35440001_000001), "99999999")
    assert [(it["brand"], it["source"]) for it in found["tacs"]] == [("Oxbow", "theirs")]
    assert found["unknown"] == ["99999999"]
    assert [it["tac"] for it in gateway.told("tac", "list", "--brand", "HALDANE")["tacs"]] == ["01440002"]
    carrier = gateway.told("key", "create", "--name", "Carrier", "--role", "carrier")["key"]
    assert gateway.run("tac", "import", str(path), key=carrier).returncode == 6
    settings = ("--adapter", "eir_push", "--setting", "url=https://eir.example/", "--brand")
    assert (
        "No TAC is known yet of: nobody" in gateway.run("partner", "add", "Quiet", *settings, "Nobody").stdout
    )


def test_a_key_has_a_quota_of_its_own(gateway: Gateway) -> None:
    made = gateway.told("key", "create", "--name", "Carrier", "--role", "carrier", "--quota", "50")

    def quota() -> int | None:
        return next(
            key["quota"] for key in gateway.told("key", "list")["keys"] if key["key_id"] == made["id"]
        )

    assert quota() == 50
    assert gateway.told("key", "quota", made["id"], "1000")["quota"] == quota() == 1000
    assert gateway.told("key", "quota", made["id"], "usual")["quota"] is quota() is None
    assert (
        "lacks the permission keys:write"
        in gateway.run("key", "quota", made["id"], "0", key=made["key"]).stderr
    )
    assert gateway.run("key", "quota", made["id"], "many").returncode == 2
    assert "no live key" in gateway.run("key", "quota", "k_aaaaaaaa", "5").stderr


def test_a_revoked_key_is_refused(gateway: Gateway) -> None:
    made = gateway.told("key", "create", "--name", "Short", "--role", "auditor")
    listed = gateway.told("key", "list", key=made["key"])["keys"]
    assert {"key_id": made["id"], "role": "auditor"}.items() <= listed[-1].items()
    assert made["key"] not in json.dumps(listed)
    assert gateway.run("key", "revoke", made["id"], key=made["key"]).returncode == 6
    assert gateway.told("key", "revoke", made["id"])["changed"]
    refused = gateway.run("incidents", "--json", key=made["key"])
    assert refused.returncode == 6
    assert json.loads(refused.stderr)["code"] == "key-unknown"


def test_errors_are_one_sentence_or_a_problem_document(gateway: Gateway) -> None:
    wrong = gateway.run("partner", "add", "Süd", "--adapter", "eir_push", "--setting", "url=ftp://x")
    assert wrong.returncode == 1
    assert wrong.stderr.count("it would begin with https://") == 1
    assert "Traceback" not in wrong.stderr
    several = gateway.run("partner", "add", "Süd", "--adapter", "ceir", "--setting", "url=ftp://x")
    assert several.stderr.startswith(
        "3 of the settings are wrong or missing.\n  • setting url: it would begin"
    )
    assert several.stderr.count("it would begin with https://") == 1
    missing = gateway.run("approve", "999", "--json")
    assert missing.returncode == 1
    assert json.loads(missing.stderr)["status"] == 404
    many = gateway.run("approve", "many", "--json")
    assert many.returncode == 2
    assert (
        "'many' is not a number of an incident; it would be 1 or more. See"
        in json.loads(many.stderr)["detail"]
    )
    assert "No such file or directory. See" in gateway.run("register", "no.csv").stderr


def test_all_that_is_wrong_with_a_partner_is_told_at_once_and_of_what_was_typed(gateway: Gateway) -> None:
    texts = ("url=ftp://x", "devices_per_call=many", "reasons=x", "colour=red", "stolen_waits=true")
    pairs = [part for text in texts for part in ("--setting", text)]
    others = ("--tac", "12", "--rate", "-1", "--max-inflight", "99")
    lines = gateway.run("partner", "add", "", "--adapter", "ceir", *pairs, *others).stderr.splitlines()
    assert lines[0] == "10 things about this partner are wrong."
    told = dict(line.removeprefix("  • ").split(": ", 1) for line in lines[1:])
    assert set(told) == {
        "setting url", "setting devices_per_call", "setting reasons", "setting colour", "setting username",
        "setting password", "--tac", "--rate", "--max-inflight", "NAME",
    }  # fmt: skip
    assert told["setting devices_per_call"].startswith(
        "it would be a whole number, not a string; it would be"
    )
    assert told["setting password"] == "it is missing; it would be the account's password."
    settings = ("--setting", "devices_per_call=0", "--setting", "url=https://x.example")
    bounded = gateway.run("partner", "add", "Süd", "--adapter", "ceir", *settings).stderr
    assert "setting devices_per_call: it would be a whole number, at least 1; it would be" in bounded
    unknown = gateway.run("partner", "add", "Süd", "--adapter", "fax", *pairs, "--tac", "12").stderr
    assert "--adapter: There is no adapter 'fax'; there are ceir," in unknown
    assert "restart it after another" in unknown
    assert "--tac: '12' would be 8 digits" in unknown


def test_a_typing_error_makes_no_new_database(gateway: Gateway, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    asked = gateway.run("--data-dir", str(gateway.data_dir), "status", STOLEN, "--data-dir", str(elsewhere))
    assert asked.returncode == 1
    assert "There is no gateway in" in asked.stderr
    assert not elsewhere.exists()


def test_what_was_killed_comes_up_again_and_ends_without_rubbish(tmp_path: Path) -> None:
    gateway, port = Gateway(tmp_path / "data"), _free_port()
    with gateway.started("up", "--port", port, until="Administrator key") as first:
        first.kill()
        first.wait()
    with gateway.started("up", "--port", port, until="Data directory") as second:
        assert _ready(gateway) == 200
        assert gateway.told("incidents") == {"incidents": []}
        for _ in range(3):
            second.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert second.wait(30) == 0
        assert second.stdout
        assert "Administrator key" not in second.stdout.read()
    assert not (gateway.data_dir / "gateway.url").exists()
    assert _gone(gateway), gateway.processes()


def test_an_interrupted_command_stops_the_database_that_it_started(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data")
    assert gateway.run("migrate").returncode == 0
    made = gateway.told("key", "create", "--name", "Operator", "--role", "admin")
    gateway.told("declare", "--title", "Waits", "--imei", "490154203237518", "--draft", key=made["key"])
    with gateway.started("watch", "1", "--key", made["key"], until="draft") as watching:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    assert _gone(gateway), gateway.processes()
