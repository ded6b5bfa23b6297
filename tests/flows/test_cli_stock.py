"""What stands where, at the desk: devices, pallets, movements, TACs, and moments as people write them."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from app.core import gs1, imei
from tests.unit import workbooks

from .command import Commands

GTIN = "09506000134352"
_numbers = count(35_209915_000000)
_pallets = count(1000)


def good() -> str:
    return imei.full(next(_numbers))


def sscc() -> str:
    body = f"3{next(_pallets):016d}"
    return f"{body}{gs1.check_digit(body)}"


def registered(desk: Commands, path: Path, *lines: str, said: tuple[str, ...] = ()) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
    done = desk.run("register", str(path), *said)
    assert done.returncode == 0, done.stdout + done.stderr


def words(said: str) -> str:
    return " ".join(said.split())


def test_a_device_is_shown_by_any_of_its_names(desk: Commands, tmp_path: Path) -> None:
    number, twin, pallet, other = good(), "R58-1", sscc(), sscc()
    rows = (
        f"{number},SN-1,,{pallet},PAR-1,499.90,EUR",
        f",{twin},{GTIN},{pallet},,,",
        f",{twin},09521234543213,,,,",
    )
    registered(desk, tmp_path / "goods.csv", "imei,serial,gtin,pallet,site,unit value,currency", *rows)
    assert (
        desk.run("move", "--to", other, "--imei", number, "--at", "2025-12-22T02:00:00.5+01:00").returncode
        == 0
    )
    shown = desk.run("device", number)
    assert shown.returncode == 0, shown.stderr
    for fact in (f"IMEIs {number}", "serial SN-1", f"pallet {other}", "site PAR-1", "unit value 499.90 EUR",
                 "arrived yes", "status clear", f"{pallet} the beginning"):  # fmt: skip
        assert fact in words(shown.stdout)
    (device,) = desk.told("device", "SN-1", number)["devices"]
    assert (device["imeis"], device["pallet"]) == ([number], other)
    assert [(stay["pallet"], stay["moved_at"]) for stay in device["history"]] == [
        (other, "2025-12-22T01:00:00.500000Z"),
        (pallet, None),
    ]
    assert len(desk.told("device", twin)["devices"]) == 2
    (device,) = desk.told("device", f"(01){GTIN}(21){twin}")["devices"]
    assert (device["gtin"], device["history"]) == (GTIN, [])


def test_one_unknown_name_keeps_no_other_from_being_shown(desk: Commands, tmp_path: Path) -> None:
    number = good()
    registered(desk, tmp_path / "goods.csv", "imei", number)
    shown = desk.run("device", "nobody's", number)
    assert (shown.returncode, shown.stderr) == (1, "Nobody registered nobody's.\n")
    assert number in shown.stdout
    told = json.loads(desk.run("device", "nobody's", number, "--json").stdout)
    assert (told["unknown"], len(told["devices"])) == (["nobody's"], 1)


def test_a_pallet_says_what_it_holds_and_what_is_missing_elsewhere_and_surplus(
    desk: Commands, tmp_path: Path
) -> None:
    pallet, other = sscc(), sscc()
    here, gone, astray, extra = good(), good(), good(), good()
    announced = [f"{number},{pallet}" for number in (here, gone, astray)]
    registered(desk, tmp_path / "asn.csv", "imei,pallet", *announced, said=("--announced",))
    arrived = (f"{here},{pallet}", f"{astray},{other}", f"{extra},{pallet}")
    registered(desk, tmp_path / "goods.csv", "imei,pallet", *arrived)
    told = desk.told("pallet", pallet)
    assert (told["devices"], told["announced"], told["arrived"]) == (3, 3, 2)
    assert [[it["imeis"] for it in told[kind]] for kind in ("missing", "elsewhere", "surplus")] == [
        [[gone]], [[astray]], [[extra]],
    ]  # fmt: skip
    shown = words(desk.run("pallet", pallet).stdout)
    assert (
        f"on it now 3 devices announced 3 arrived 2 missing 1 elsewhere 1 surplus 1 {_titled(gone)}" in shown
    )
    assert f"and come on another pallet IMEIs stands on {astray} {other}" in shown
    assert "announced nothing" in words(desk.run("pallet", other).stdout)
    wrong = desk.run("pallet", "123")
    assert (wrong.returncode, "SSCC" in wrong.stderr) == (1, True)


def _titled(number: str) -> str:
    return f"Announced for it, and not come IMEIs {number}"


def test_devices_are_moved_and_what_stood_where_stays_known(desk: Commands, tmp_path: Path) -> None:
    pallet, other, numbers = sscc(), sscc(), [good() for _ in range(3)]
    registered(
        desk, tmp_path / "goods.csv", "imei,serial,pallet", *(f"{it},S{it},{pallet}" for it in numbers)
    )
    one = ("--imei", numbers[0], "--serial", f"S{numbers[1]}")
    moved = desk.run("move", "--to", other, *one, "--at", "2025-12-22T01:40Z")
    assert moved.stdout == "2 movements are kept; 2 devices stand elsewhere than before.\n"
    back = desk.told("move", "--to", pallet, "--pallet", other, "--at", "2025-12-22T03:00+01:00")
    assert (back["recorded"], back["changed"], back["unknown"]) == (2, 2, [])
    at = ("--at", "2025-12-22T01:50:00z")
    assert [desk.told("pallet", it, *at)["devices"] for it in (pallet, other)] == [1, 2]
    assert [desk.told("pallet", it)["devices"] for it in (pallet, other)] == [3, 0]
    stranger = desk.run("move", "--to", other, "--imei", good(), "--imei", numbers[2])
    assert stranger.returncode == 1
    assert stranger.stdout.startswith("1 movement is kept; 1 device stands")
    assert stranger.stderr.startswith("Nobody registered 35")
    wrong = desk.run("move", "--to", other[:-1], "--imei", "12", "--imei", numbers[0])
    assert wrong.returncode == 1
    assert "  • --to: " in wrong.stderr
    assert "  • --imei: " in wrong.stderr
    assert desk.told("pallet", pallet)["devices"] == 2


@pytest.mark.parametrize(
    ("moment", "words"),
    [("2026-11-22T09:00", "does not say its offset from UTC"), ("yesterday", "'yesterday' is not a time"),
     ("0001-01-01T00:00+14:00", "cannot be right")],
)  # fmt: skip
def test_a_moment_that_cannot_be_read_is_told_in_words(desk: Commands, moment: str, words: str) -> None:
    for command in (("declare", "--title", "x", "--draft", "--as-of"), ("pallet", sscc(), "--at")):
        refused = desk.run(*command, moment)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr
        assert "2026-12-22T02:00:00+01:00" in refused.stderr
        assert "%" not in refused.stderr


def test_any_moment_with_an_offset_is_taken(desk: Commands, tmp_path: Path) -> None:
    pallet = sscc()
    registered(desk, tmp_path / "goods.csv", "imei,pallet", f"{good()},{pallet}")
    for moment in ("2025-11-22T09:00:00.123456789-05:30", "2025-11-22t09:00:00z", "2025-11-22T09:00+00:00"):
        told = desk.told("declare", "--title", "x", "--draft", "--pallet", pallet, "--as-of", moment)
        assert told["preview"]["devices"] == 1
    shown = desk.run("incident", str(told["id"])).stdout
    assert "As drafted:" in shown
    assert "As submitted:" not in shown
    assert desk.run("submit", str(told["id"])).returncode == 0
    assert "As submitted:" in desk.run("incident", str(told["id"])).stdout


def test_what_a_tac_database_has_odd_is_shown(desk: Commands, tmp_path: Path) -> None:
    path, rejects = tmp_path / "brands.csv", tmp_path / "rejects.csv"
    rows = [f"354400{number:02d},Nordlys,X" for number in range(11)]
    path.write_text(
        "\n".join(["tac,brand,model", "3599988,Nordlys,Y", *(f"{n},a,b" for n in range(12)), *rows])
    )
    shown = desk.run("tac", "import", str(path), "--source", "ours")
    assert "2 tac-zero-restored" in words(shown.stdout)
    assert "03599988" in shown.stdout
    assert "… and 2 more: --rejects OUT.csv writes all of them\n" in shown.stdout
    told = json.loads(desk.run("tac", "import", str(path), "--source", "ours", "--json").stdout)
    assert [it["line"] for it in told["warnings_found"]] == [2]
    assert len(told["rejections"]) == 12
    rejects.write_text("of yesterday")
    path.write_text("\n".join(["tac,brand,model", *(row.replace("X", "Z") for row in rows)]))
    shown = desk.run("tac", "import", str(path), "--source", "ours", "--rejects", str(rejects))
    assert "… and 1 more: --json lists all of them\n" in shown.stdout
    assert f"{rejects} was not written; the older file of that name was removed.\n" in shown.stdout
    assert not rejects.exists()


def test_a_workbook_is_no_tac_database_and_is_told_so(desk: Commands, tmp_path: Path) -> None:
    path = tmp_path / "brands.xlsx"
    path.write_bytes(workbooks.book(workbooks.table(["tac", "brand"], ["35440001", "Nordlys"])))
    refused = desk.run("tac", "import", str(path))
    assert refused.returncode == 1
    assert "The file is an XLSX workbook" in refused.stderr
    assert "Save it as CSV with a header, as in: tac,brand,model" in refused.stderr
    assert "PK" not in refused.stderr


def test_a_wrong_tac_keeps_no_other_from_being_answered(desk: Commands, tmp_path: Path) -> None:
    path = tmp_path / "brands.csv"
    path.write_text("tac,brand,model\n35440001,Nordlys,X\n")
    desk.told("tac", "import", str(path))
    found = desk.run("tac", "find", "35440001", "3544", "99999999")
    assert found.returncode == 1
    assert "Nordlys" in found.stdout
    assert "Nothing is known of 99999999." in found.stdout
    assert found.stderr.startswith("'3544' is not a TAC")
    told = desk.run("tac", "find", "3544", "35440001", "--json")
    assert told.returncode == 1
    assert [it["tac"] for it in json.loads(told.stdout)["tacs"]] == ["35440001"]
    assert len(json.loads(told.stdout)["wrong"]) == 1
    assert desk.run("tac", "find", "3544").returncode == 1
