"""Headers as they come: any delimiter, any of the usual names, and the sender's own mapping before them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from app.core import imei
from app.core.errors import Invalid
from app.devices.intake import (
    REJECT_COLUMNS,
    Defaults,
    Finding,
    Format,
    Mapped,
    Row,
    Submission,
    names,
    read,
    read_columns,
)  # fmt: skip
from app.devices.intake.columns import SINGLE, plain

A, B, C = (imei.full(35_209900_176148 + n) for n in range(3))
GTIN = "09506000134352"
PALLET = "106141412345678908"
VALUES = {
    "serial": "S1", "gtin": GTIN, "pallet": PALLET, "site": "PAR1", "owner": "ACME", "model": "Phone",
    "unit_value": "5.00", "currency": "USD",
}  # fmt: skip


def submission(
    text: str | bytes, columns: dict[str, str] | Mapped | None = None, form: Format = Format.CSV
) -> Submission:
    mapped = columns if isinstance(columns, Mapped) else Mapped(columns or {})
    source = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return read(source, form, Defaults(currency="EUR"), mapped)


def answers(
    text: str | bytes, columns: dict[str, str] | Mapped | None = None, form: Format = Format.CSV
) -> tuple[list[Row], list[Finding]]:
    readings = list(submission(text, columns, form).readings)
    rows = [row for row, _, _ in readings if row is not None]
    return rows, [finding for _, found, _ in readings for finding in found]


def value(row: Row, field: str) -> str:
    return row.serial if field == "serial" else str(getattr(row.shared, field))


def refusal(text: str, columns: dict[str, str] | Mapped) -> Invalid:
    with pytest.raises(Invalid) as error:
        list(submission(text, columns).readings)
    return error.value


def written(synonyms: str) -> list[str]:
    return [name.strip() for line in synonyms.strip().splitlines() for name in line.split("|")]


@pytest.mark.parametrize("field", SINGLE)
def test_every_usual_name_of_a_column(field: str) -> None:
    for name in written(names.FIELDS[field]):
        # A currency is kept where there is a value of that currency.
        priced = ("\tUnit value", "\t5") if field == "currency" else ("", "")
        rows, found = answers(f"IMEI\t{name.upper()}{priced[0]}\n{A}\t{VALUES[field]}{priced[1]}\n")
        assert value(rows[0], field) == VALUES[field], name
        assert not found, name


@pytest.mark.parametrize(
    "name",
    [
        *written(names.IMEI),
        "IMEI1",
        "imei_2",
        "IMEI 1",
        "IMEI No. 2",
        "IMEI1 number",
        "imei_slot_1",
        "[IMEI]",
    ],
)
def test_every_usual_name_of_an_imei_column(name: str) -> None:
    assert answers(f"{name}\tserial\n{A}\tS1\n")[0][0].keys == [int(A[:14])]


@pytest.mark.parametrize("name", ["Modele", "MODÈLE", "Mode\u0300le", " modèle ", "Mod.èle"])
def test_accents_case_and_punctuation_of_a_name_do_not_count(name: str) -> None:
    assert answers(f"IMEI\t{name}\n{A}\tPhone\n")[0][0].shared.model == "Phone"


def test_no_name_means_two_fields() -> None:
    meant = [plain(name) for field in names.FIELDS.values() for name in set(map(plain, written(field)))]
    meant += {plain(name) for name in written(names.IMEI)}
    assert sorted(meant) == sorted(set(meant))


@pytest.mark.parametrize("name", ["IMEISV", "MEID", "IMEI status", "date", "Barcode", "Qty", "Colour"])
def test_a_column_that_means_something_else_is_named(name: str) -> None:
    _, found = answers(f"imei;{name}\n{A};1\n")
    assert [(finding.code, finding.value) for finding in found] == [("column-ignored", name)]


def test_the_delimiter_is_the_one_under_which_the_header_identifies_devices() -> None:
    rows, _ = answers(f"Serial,No|IMEI|Price, net\n1,5|{A}|5\n")
    assert rows[0].keys == [int(A[:14])]
    assert answers(f"IMEI:Site\n{A}:PAR1\n")[0][0].shared.site == "PAR1"
    assert answers(f"Site;Owner;x,IMEI\n1,{A}\n")[0][0].keys == [int(A[:14])]


@pytest.mark.parametrize("header", ["Site;IMEI;a,IMEI,b,c,d", "Serial;IMEI;a,IMEI,b,c", "Pallet;IMEI;IMEI"])
def test_of_two_such_delimiters_it_is_the_one_under_which_more_is_understood(header: str) -> None:
    assert answers(f"{header}\n{PALLET};{A};\n")[0][0].keys == [int(A[:14])]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;"])
def test_excels_own_first_line_names_the_delimiter(first: str) -> None:
    rows, found = answers(f"{first}\r\nIMEI;Modèle\r\n{A};a,b\r\n")
    assert (rows[0].line, rows[0].shared.model) == (3, "a,b")
    assert not found


@pytest.mark.parametrize("delimiter", ["\t", "#", "!", " "])
def test_excels_first_line_may_name_any_delimiter(delimiter: str) -> None:
    rows, _ = answers(f"sep={delimiter}\nIMEI{delimiter}Site\n{A}{delimiter}PAR1\n")
    assert rows[0].shared.site == "PAR1"


def test_excels_first_line_may_be_wrong() -> None:
    assert answers(f"sep=;\nIMEI,Site\n{A},PAR1\n")[0][0].shared.site == "PAR1"


def test_names_in_quotes_may_have_line_breaks() -> None:
    text = f'"IMEI\n1";"Serial\r\nNo.";"Unit\nprice;\n(net)";"Site\n"\n{A};S1;x;"PAR\n1"\n{B};S2;x;LYS\n'
    rows, found = answers(text)
    assert [(row.line, row.serial, row.shared.site) for row in rows if row] == [(9, "S2", "LYS")]
    assert [(finding.line, finding.code) for finding in found] == [(7, "text-control"), (1, "column-ignored")]


def test_a_quote_that_a_header_never_closes_takes_no_rows_with_it() -> None:
    rows, _ = answers(f'imei,"note\n{A},x\n{B},y\n')
    assert [row.line for row in rows] == [2, 3]


def test_the_senders_mapping_goes_before_the_usual_names() -> None:
    text = f"Serial,Kennung,Ref,Wert\nwrong,{A},S1,ignored\n"
    rows, found = answers(text, {"kennung": "imei", " REF. ": "serial", "Wert": "-"})
    assert (rows[0].keys, rows[0].serial, rows[0].shared.unit_value) == ([int(A[:14])], "S1", None)
    assert [(finding.code, finding.value) for finding in found] == [("column-ignored", "Serial")]


def test_several_columns_may_be_mapped_to_imei_beside_the_usual_ones() -> None:
    rows, _ = answers(f"x,y,IMEI 3\n{A},{B},{C}\n", {"x": "imei", "y": "imei"})
    assert rows[0].keys == [int(number[:14]) for number in (A, B, C)]


def test_columns_of_signs_alone_can_be_mapped() -> None:
    assert answers(f"#,€\n{A},5\n", {"#": "imei", "€": "unit_value"})[0][0].shared.currency == "EUR"


def test_a_mapping_helps_to_find_the_delimiter() -> None:
    assert answers(f"a;b\n{A};PAR1\n", {"a": "imei", "b": "site"})[0][0].shared.site == "PAR1"


def test_a_wrong_mapping_is_refused_with_every_flaw() -> None:
    error = refusal(f"IMEI,Serial,serial\n{A},1,2\n", {"Foo": "site", "Bar": "owner", "SERIAL": "serial"})
    assert error.code == "columns-wrong"
    assert [flaw.code for flaw in error.flaws] == ["column-missing", "column-missing", "column-repeated"]
    assert all(flaw.pointer == "columns" for flaw in error.flaws)
    assert "no column 'Foo'; it has: IMEI, Serial, serial." in error.detail
    assert error.detail.count("it has:") == 1
    assert "'Serial', 'serial' would all be the serial" in error.detail


def test_a_wrong_mapping_is_told_before_a_header_that_names_no_device() -> None:
    assert refusal("Kenung,x\n1,2\n", {"Kennung": "imei"}).code == "columns-wrong"
    assert refusal("a,b\n1,2\n", {"a": "site"}).code == "header-wrong"
    assert refusal(f"imei\n{A}\n", {"imei": "-"}).code == "header-wrong"


SUPPLIERS = Mapped(
    {"Handset": "imei", "Case": "pallet", "Ware": "model", "Note": "-"}, frozenset(("Handset", "Case"))
)
USUAL = Mapped(SUPPLIERS.columns, frozenset(SUPPLIERS.columns))


def test_columns_of_a_suppliers_mapping_that_a_file_lacks_are_one_warning() -> None:
    rows, (finding,) = answers(f"Handset,Note\n{A},x\n", USUAL)
    assert rows[0].keys == [int(A[:14])]
    assert (finding.line, finding.code, finding.rejected) == (1, "column-lacking", False)
    assert "does not have: 'Case', 'Ware'." in finding.sentence


def test_a_file_with_a_header_of_its_own_needs_no_suppliers_mapping() -> None:
    rows, found = answers(f"imei,pallet\n{A},{PALLET}\n", USUAL)
    assert (rows[0].shared.pallet, found) == (PALLET, [])


def test_a_file_that_no_mapping_helps_is_told_what_it_lacks_of_it() -> None:
    error = refusal("Case,x\n1,2\n", USUAL)
    assert error.code == "header-wrong"
    assert "It lacks 'Handset', 'Ware', 'Note', of which the supplier's mapping speaks." in error.detail
    assert "or a mapping that says which column is which" in error.detail


def test_a_column_that_was_asked_for_must_be_there_beside_a_suppliers_mapping() -> None:
    error = refusal(f"imei,Case\n{A},1\n", SUPPLIERS)
    assert [flaw.detail for flaw in error.flaws] == [
        "The file has no column 'Ware'; it has: imei, Case.", "The file has no column 'Note'.",
    ]  # fmt: skip


def test_a_mapping_is_checked_without_a_file() -> None:
    assert read_columns([("Foo", "IMEI"), ("Bar", " imei"), ("x", "-")]) == {
        "Foo": "imei", "Bar": "imei", "x": "-",
    }  # fmt: skip
    pairs = [("a", "imeis"), ("b", "site"), ("B.", "-"), (" ", "owner"), ("c", "serial"), ("d", "serial")]
    with pytest.raises(Invalid) as error:
        read_columns(pairs)
    assert [flaw.code for flaw in error.value.flaws] == [
        "column-field-unknown", "column-named-twice", "column-nameless", "column-repeated",
    ]  # fmt: skip
    assert "unit_value, currency, and - for" in error.value.detail
    assert refusal(f"imei\n{A}\n", {"imei": "imeis"}).code == "columns-wrong"


def ndjson(*records: dict[str, Any]) -> str:
    return "\n".join(json.dumps(record) for record in records)


COLUMNS = {"IMEI 1": "imei", "imei2": "imei", "SN": "serial", "colour": "-", "Lager": "site"}
RECORD = {"imei_1": A, "IMEI2": [B, None], "sn": "S1", "Colour": 5, "lager": "PAR1"}


@pytest.mark.parametrize("form", [Format.NDJSON, Format.JSON])
def test_a_mapping_renames_the_fields_of_objects(form: Format) -> None:
    text = ndjson(RECORD) if form is Format.NDJSON else json.dumps({"devices": [RECORD]})
    rows, found = answers(text, COLUMNS, form)
    assert (rows[0].keys, rows[0].serial, rows[0].shared.site) == (
        [int(A[:14]), int(B[:14])], "S1", "PAR1",
    )  # fmt: skip
    assert not found


def test_a_mapped_field_of_an_object_goes_before_its_own_and_imeis_add_up() -> None:
    record = {"serial": "wrong", "SN": "S1", "imei": C, "imeis": [B], "imei 1": int(A), "size": 1}
    rows, found = answers(ndjson(record, {"imei": A}), COLUMNS, Format.NDJSON)
    assert (rows[0].keys, rows[0].serial) == ([int(number[:14]) for number in (A, B, C)], "S1")
    assert rows[1].keys == [int(A[:14])]
    assert [finding.field for finding in found] == ["size"]


@pytest.mark.parametrize("names_written", [REJECT_COLUMNS, ("Reject code", "REJECT SENTENCE")])
def test_rows_that_were_given_back_come_in_again(names_written: tuple[str, str]) -> None:
    code, sentence = names_written
    text = f'imei,{code},serial,{sentence}\n{A},imei-length,S1,"It has 14, not 15."\n{B},"never closed\n1,2\n'
    taken = submission(text)
    assert taken.columns == ("imei", "serial")
    readings = list(taken.readings)
    assert [list(cells) for _, _, cells in readings] == [[A, "S1"], [f'{B},"never closed'], ["1", "2"]]
    assert [finding.code for _, found, _ in readings for finding in found] == [
        "quotes-wrong", "cells-miscounted",
    ]  # fmt: skip


def test_objects_that_were_given_back_come_in_again() -> None:
    record = {"imei": A, "reject_code": "imei-length", "reject_sentence": "It has 14."}
    rows, found = answers(ndjson(record), form=Format.NDJSON)
    assert len(rows) == 1
    assert not found
