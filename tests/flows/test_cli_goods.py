"""Goods-in at the desk: the reject file and what sends it again, the supplier's mapping, the size of a file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from app.core import gs1, imei

from .command import Commands

_numbers = count(35_209914_000000)
_pallets = count(1)


def good() -> str:
    return imei.full(next(_numbers))


def sscc() -> str:
    body = f"3{next(_pallets):016d}"
    return f"{body}{gs1.check_digit(body)}"


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def _sends_again(said: str) -> list[str]:
    (line,) = [line.strip() for line in said.splitlines() if line.startswith("  imei-gateway register ")]
    return shlex.split(line)[1:]


def test_rejected_rows_are_sent_again_by_the_command_that_is_printed(
    desk: Commands, file: Callable[..., Path], tmp_path: Path
) -> None:
    number, rejects = good(), tmp_path / "their rejects.csv"
    asn = file("asn.csv", "Handset ID;Case", f"{good()};{sscc()}", f"{number[:14]};{sscc()}")
    said = ("--announced", "--supplier", "ACME 2", "--site", "Paris Nord", "--owner", "O'Neill")
    maps = ("--map", "Handset ID=imei", "--map", "Case=pallet", "--save-mapping")
    first = desk.run("register", str(asn), *said, *maps, "--rejects", str(rejects))
    assert first.returncode == 3, first.stderr
    assert first.stderr == ""
    again = _sends_again(first.stdout)
    assert again[:2] == ["register", str(rejects)]
    assert "--save-mapping" not in again
    rejects.write_text(rejects.read_text().replace(number[:14], number))
    receipt = desk.told(*again)
    assert (receipt["registered"], receipt["kind"], receipt["supplier"]) == (1, "announcement", "ACME 2")
    (device,) = desk.told("device", number)["devices"]
    assert (device["arrived"], device["site"], device["owner"]) == (False, "Paris Nord", "O'Neill")


def test_rejected_objects_are_sent_again_whatever_their_file_is_called(
    desk: Commands, file: Callable[..., Path], tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    goods = file("goods.ndjson", json.dumps({"imeis": ["12"], "owner": "x"}))
    first = desk.run("register", str(goods), "--rejects", str(rejects))
    rejects.write_text(rejects.read_text().replace('"12"', f'"{good()}"'))
    assert desk.told(*_sends_again(first.stdout))["registered"] == 1


def test_where_nothing_was_rejected_no_reject_file_stands(
    desk: Commands, file: Callable[..., Path], tmp_path: Path
) -> None:
    rejects, goods = tmp_path / "rejects.csv", file("goods.csv", "imei", good())
    done = desk.run("register", str(goods), "--rejects", str(rejects))
    assert f"No row was rejected, and {rejects} was not written.\n" in done.stdout
    assert not rejects.exists()
    rejects.write_text("of yesterday")
    done = desk.run("register", str(goods), "--rejects", str(rejects))
    assert f"{rejects} was not written; the older file of that name was removed.\n" in done.stdout
    assert not rejects.exists()


def test_a_file_is_never_overwritten_by_its_own_rejected_rows(
    desk: Commands, file: Callable[..., Path]
) -> None:
    goods = file("goods.csv", "imei", "12")
    refused = desk.run("register", str(goods), "--rejects", str(goods))
    assert refused.returncode == 2
    assert "name another file" in refused.stderr
    assert goods.read_text() == "imei\n12\n"


def test_a_receipt_gives_its_rejected_rows_back_later(
    desk: Commands, file: Callable[..., Path], tmp_path: Path
) -> None:
    goods = file("goods.csv", "imei,owner", *(f"{number},x" for number in range(12)), f"{good()},x")
    first = desk.run("register", str(goods))
    number = first.stdout.split()[1]
    assert f"… and 2 more: imei-gateway receipt {number} --rejects FILE\n" in first.stdout
    rejects = tmp_path / "rejects.csv"
    shown = desk.run("receipt", number, "--rejects", str(rejects))
    assert shown.returncode == 0
    assert f"… and 2 more: all of them are in {rejects}\n" in shown.stdout
    header, *rows = rejects.read_text("utf-8-sig").splitlines()
    assert (header, len(rows)) == ("imei,owner,reject_code,reject_sentence", 12)


def test_a_mapping_grows_by_what_is_said_once_a_row_was_taken(
    desk: Commands, file: Callable[..., Path]
) -> None:
    acme = ("--supplier", "ACME", "--save-mapping", "--json")
    asn = file("asn.csv", "Handset ID,Case", f"{good()},{sscc()}")
    done = desk.run("register", str(asn), "--map", "Handset ID=imei", *acme)
    assert json.loads(done.stdout)["mapping_saved"]["columns"] == {"Handset ID": "imei"}
    both = {"Handset ID": "imei", "Case": "pallet"}
    shown = desk.run("register", str(asn), "--map", "Case=pallet", *acme[:-1])
    assert "The mapping of ACME was saved: 'Case' is pallet, 'Handset ID' is imei.\n" in shown.stdout
    assert desk.told("mapping", "show", "ACME")["columns"] == both

    wrong = file("wrong.csv", "Handset ID,Case,Box", "12,,")
    done = desk.run("register", str(wrong), "--map", "Box=site", *acme[:-1])
    assert done.returncode == 3
    assert "The mapping of ACME was not saved, for every row was rejected.\n" in done.stdout
    empty = file("empty.csv", "nothing,of,use")
    failed = desk.run("register", str(empty), "--map", "of=imei", *acme[:-1])
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[0].endswith("The mapping was not saved.")
    assert desk.told("mapping", "show", "ACME")["columns"] == both


def test_a_name_in_another_case_is_no_name_and_is_told(desk: Commands, file: Callable[..., Path]) -> None:
    saved = ("--supplier", "ACME", "--map", "Handset ID=imei", "--save-mapping")
    asn = file("asn.csv", "Handset ID,IMEI 2", f"{good()},{good()}")
    assert desk.run("register", str(asn), *saved).returncode == 0
    hint = "There is no mapping 'acme', but there is 'ACME': case counts."
    only = file("only.csv", "Handset ID", good())
    failed = desk.run("register", str(only), "--supplier", "acme")
    assert failed.returncode == 1
    assert hint in failed.stderr
    assert hint in desk.run("register", str(only), "--mapping", "acme").stderr
    taken = desk.run("register", str(file("taken.csv", "IMEI", good())), "--supplier", "acme")
    assert taken.returncode == 0
    assert hint in taken.stdout


def test_a_mapping_is_saved_for_somebody_and_for_something(desk: Commands, file: Callable[..., Path]) -> None:
    goods = str(file("goods.csv", "imei", good()))
    for wrong in (
        ("--map", "a=imei"),
        ("--supplier", "A"),
        ("--supplier", "A", "--map", "a=-", "--mapping", "B"),
    ):
        refused = desk.run("register", goods, "--save-mapping", *wrong)
        assert (refused.returncode, "--save-mapping" in refused.stderr) == (2, True)


def test_mappings_are_listed_shown_and_removed(desk: Commands, file: Callable[..., Path]) -> None:
    for name, column in (("ACME", "Handset ID"), ("Boxer", "Gerät")):
        goods = file("goods.csv", column, good())
        assert desk.run(
            "register", str(goods), "--supplier", name, "--map", f"{column}=imei", "--save-mapping"
        ).returncode == 0  # fmt: skip
    assert [it["name"] for it in desk.told("mapping", "list")["mappings"]] == ["ACME", "Boxer"]
    assert "Gerät is imei" in " ".join(desk.run("mapping", "list").stdout.split())
    assert "Gerät" in desk.run("mapping", "show", "Boxer").stdout
    assert desk.told("mapping", "remove", "Boxer")["columns"] == {"Gerät": "imei"}
    gone = desk.run("mapping", "show", "Boxer")
    assert (gone.returncode, "There is no mapping 'Boxer'" in gone.stderr) == (1, True)


@pytest.mark.parametrize(("ending", "advice"), [("csv", "--confirm 1001"), ("ndjson", "--confirm 1001")])
def test_a_file_that_is_unusually_large_is_confirmed_by_what_is_said(
    desk: Commands, file: Callable[..., Path], ending: str, advice: str
) -> None:
    acme = ("--supplier", "ACME")
    assert (
        desk.run("register", str(file("usual.csv", "imei", *(good() for _ in range(3)))), *acme).returncode
        == 0
    )
    numbers = [good() for _ in range(1001)]
    rows = ["imei", *numbers] if ending == "csv" else [json.dumps({"imeis": [number]}) for number in numbers]
    large = file(f"large.{ending}", *rows)
    large.write_text(large.read_text().rstrip())
    refused = desk.run("register", str(large), *acme)
    assert refused.returncode == 1
    assert (
        "The largest of the latest ones of ACME had 3 rows, and up to 1,000 pass unasked." in refused.stderr
    )
    assert f"If that is right: {advice}." in refused.stderr
    assert "confirm=" not in refused.stderr
    assert desk.told("register", str(large), *acme, *advice.split())["registered"] == 1001


def test_nothing_is_written_to_standard_error_where_it_is_no_terminal(
    desk: Commands, file: Callable[..., Path]
) -> None:
    assert desk.run("register", str(file("goods.csv", "imei", good()))).stderr == ""


def test_an_arrival_says_what_is_missing_on_its_pallets(desk: Commands, file: Callable[..., Path]) -> None:
    pallet, other, late = sscc(), sscc(), sscc()
    here, gone = [good() for _ in range(2)], [good() for _ in range(3)]
    rows = [
        f"{here[0]},{pallet}",
        f"{gone[0]},{pallet}",
        f"{here[1]},{other}",
        *(f"{it},{other}" for it in gone[1:]),
    ]
    asn = desk.run("register", str(file("asn.csv", "imei,pallet", *rows, f"{good()},{late}")), "--announced")
    assert "not come" not in asn.stdout
    first = desk.run("register", str(file("one.csv", "imei,pallet", rows[0])))
    assert f"1 announced device on 1 of its pallets has not come: pallet {pallet}\n" in first.stdout
    both = file("both.csv", "imei,pallet", rows[0], rows[2])
    told = desk.told("register", str(both))
    assert told["gaps"] == [{"pallet": pallet, "missing": 1}, {"pallet": other, "missing": 2}]
    shown = desk.run("receipt", str(told["receipt_id"])).stdout
    assert f"3 announced devices on 2 of its pallets have not come: pallet {pallet}, {other}\n" in shown
    assert desk.told("register", str(file("rest.csv", "imei,pallet", *rows)))["gaps"] == []


def test_receipts_are_listed_the_newest_first(desk: Commands, file: Callable[..., Path]) -> None:
    for place, said in enumerate(((), ("--supplier", "ACME"), ("--supplier", "ACME", "--announced"))):
        assert desk.run("register", str(file(f"{place}.csv", "imei", good())), *said).returncode == 0
    assert [it["kind"] for it in desk.told("receipts")["receipts"]] == ["announcement", "arrival", "arrival"]
    acme = ("receipts", "--supplier", "ACME")
    (one,) = desk.told(*acme, "--kind", "announcement")["receipts"]
    assert one["rows"] == 1
    assert [it["receipt_id"] for it in desk.told(*acme, "--limit", "1")["receipts"]] == [one["receipt_id"]]
    drawn = desk.run("receipts").stdout.splitlines()
    assert (len(drawn), "announcement ACME" in drawn[1]) == (4, True)
