"""XLSX files as spreadsheets write them: every row below the header gets its reading."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Mapping
from random import Random

import pytest

from app.core import imei
from app.core.errors import GatewayError, Invalid
from app.devices.intake import Defaults, Finding, Format, Reading, Row, guess, read

from .workbooks import MAIN, OFFICE, STRICT, book, packed, parts, row, stored, table, text

A, B = (imei.full(35_209900_176148 + n) for n in range(2))
GTIN = "09506000134352"
EUR = Defaults(currency="EUR")
RELATIONS = "xl/_rels/workbook.xml.rels"


def readings(source: bytes, defaults: Defaults = EUR) -> list[Reading]:
    answers = list(read(io.BytesIO(source), Format.XLSX, defaults).readings)
    assert all((row is None) == any(one.rejected for one in found) for row, found, _ in answers)
    return answers


def rows(source: bytes) -> list[Row]:
    answers = readings(source)
    assert all(row is not None for row, _, _ in answers), answers
    return [row for row, _, _ in answers if row is not None]


def findings(source: bytes) -> list[Finding]:
    return [one for _, found, _ in readings(source) for one in found]


def coded(source: bytes) -> list[tuple[int, str]]:
    return [(one.line, one.code) for one in findings(source)]


def refusal(source: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        readings(source)
    return error.value


def cells(*cells: str, strings: str = "") -> list[str]:
    """What the cells of row 2 say, below a header of five columns of which the last identifies the device."""
    head = table(["a", "b", "c", "d", "imei"])
    (answer,) = readings(book(head + row(2, *cells, text("E2", A)), strings=strings))
    assert answer[0] is not None, answer
    return list(answer[2])[:-1]


def test_a_workbook_with_every_column() -> None:
    names = [
        "IMEI 1",
        "IMEI2",
        "Serial No.",
        "EAN",
        "SSCC",
        "Warehouse",
        "Customer",
        "Description",
        "Price",
        "Currency",
    ]
    values = [A, B, "S1", GTIN, "106141412345678908", "Entrepôt", "ACME", "Phone", "499.00", "EUR"]
    source = read(io.BytesIO(book(table(names, values))), Format.XLSX, Defaults())
    (answer,) = source.readings
    assert source.columns == tuple(names)
    assert answer[1:] == ([], values)
    assert answer[0] is not None
    assert answer[0][:3] == (2, [int(A[:14]), int(B[:14])], "S1")
    assert [str(value) for value in answer[0].shared] == [*values[3:8], "499.00", "EUR"]


def test_cells_of_every_type() -> None:
    said = cells(
        '<c r="A2" t="s"><v>1</v></c>', '<c r="B2" t="b"><v>1</v></c>',
        '<c r="C2" t="str"><f>A1&amp;"x"</f><v>ax</v></c>', '<c r="D2" t="d"><v>2026-12-22</v></c>',
        strings="<si><t>no</t></si><si><t>yes &lt;&amp;</t></si>",
    )  # fmt: skip
    assert said == ["yes <&", "TRUE", "ax", "2026-12-22"]
    assert cells('<c r="A2" t="e"><v>#N/A</v></c>', '<c r="B2" t="b"><v>0</v></c>') == [
        "#N/A",
        "FALSE",
        "",
        "",
    ]


@pytest.mark.parametrize("item", ["<t>one</t>", "<r><rPr><b/></rPr><t>o</t></r>\n <r><t>ne</t></r>"])
def test_runs_are_joined_and_phonetic_ones_left_out(item: str) -> None:
    item += '<rPh sb="0" eb="1"><t>two</t></rPh><phoneticPr fontId="1"/>'
    assert cells('<c r="A2" t="s"><v>0</v></c>', strings=f"<si>{item}</si>")[0] == "one"
    assert cells(f'<c r="A2" t="inlineStr"><is>{item}</is></c>')[0] == "one"


def test_escaped_characters_are_read_as_excel_shows_them() -> None:
    escaped = "<t>a_x0009_b _x005F_x0041_ _x41_</t>"
    assert cells('<c r="A2" t="s"><v>0</v></c>', strings=f"<si>{escaped}</si>")[0] == "a\tb _x0041_ _x41_"
    assert cells(f'<c r="A2" t="inlineStr"><is>{escaped}</is></c>')[0] == "a\tb _x0041_ _x41_"


@pytest.mark.parametrize(
    "number",
    [A, "3.52099001761481E+14", "499.9", "499.98999999999995", "1.0614141234567891E+17", "0.1", "-5", "1E3"],
)
def test_numbers_are_taken_as_they_stand(number: str) -> None:
    assert (
        cells(f'<c r="A2"><v>{number}</v></c>', f'<c r="B2" t="n" s="4"><v>{number}</v></c>')[:2]
        == [number] * 2
    )


def test_an_imei_may_be_a_number() -> None:
    head = table(["imei"])
    assert rows(book(head + row(2, f'<c r="A2"><v>{A}</v></c>')))[0].keys == [int(A[:14])]
    for number, code, rejected in (
        (f"{A[0]}.{A[1:]}E+14", "imei-repaired", False),
        (f"{A[0]}.{A[1:]}E14", "imei-repaired", False),
        ("3.5209900176158E14", "imei-repaired", False),
        ("3.5209900176148E14", "imei-not-digits", True),
        ("3.52099E+14", "imei-not-digits", True),
        ("10154203237519", "imei-length", True),
    ):
        (finding,) = findings(book(head + row(2, f'<c r="A2"><v>{number}</v></c>')))
        assert (finding.line, finding.code, finding.rejected) == (2, code, rejected)


@pytest.mark.parametrize(
    ("number", "amount", "code"),
    [
        ("499.98999999999995", "499.99", ""), ("499.99999999999994", "500.00", ""), ("1.0E7", "10000000.00", ""),
        ("1234.5", "1234.50", ""), ("0", "0.00", ""), ("1.234", "1.23", "unit-value-rounded"),
        ("1E-7", "0.00", "unit-value-rounded"),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_excel_shows_it(number: str, amount: str, code: str) -> None:
    source = book(table(["imei", "price"]) + row(2, text("A2", A), f'<c r="B2"><v>{number}</v></c>'))
    assert str(rows(source)[0].shared.unit_value) == amount
    assert [one.code for one in findings(source)] == [code] * bool(code)


def test_an_amount_as_text_stays_ambiguous() -> None:
    assert coded(book(table(["imei", "price"], [A, "1.234"]))) == [(2, "unit-value-ambiguous")]


@pytest.mark.parametrize("number", ["1E999", "9" * 60, "nan", "1e5000"])
def test_an_amount_out_of_all_proportion_costs_its_row(number: str) -> None:
    source = book(table(["imei", "price"]) + row(2, text("A2", A), f'<c r="B2"><v>{number}</v></c>'))
    assert coded(source) == [(2, "unit-value-malformed")]


def test_rows_keep_excels_numbers_and_cells_their_places() -> None:
    sheet = table(["serial", "gtin", "imei", "site"]) + row(3) + table(["S1", "", A], start=7)
    sheet += row(9, '<c r="C9" s="1"/>', text("D9", " ")) + row(12, text("C12", B), text("XFD12", "note"))
    answers = readings(book(sheet))
    assert [(one.line, one.keys) for one, _, _ in answers if one] == [(7, [int(A[:14])]), (12, [int(B[:14])])]
    assert [said for _, _, said in answers] == [["S1", "", A, ""], ["", "", B, ""]]


def test_rows_and_cells_may_come_without_references() -> None:
    sheet = "<row><c t='inlineStr'><is><t>imei</t></is></c></row><row/>"
    sheet += f"<row><c><v>{A}</v></c></row>"
    assert [(one.line, one.keys) for one in rows(book(sheet))] == [(3, [int(A[:14])])]


def test_titles_above_the_header_are_skipped_and_said() -> None:
    sheet = table(["Delivery 17", "", "Paris"], [], ["imei", "serial"], [A, "S1"], start=2)
    (finding,) = findings(book(sheet))
    assert (finding.line, finding.code, finding.rejected) == (4, "sheet-chosen", False)
    assert "'Sheet1'" in finding.sentence
    assert "row 4" in finding.sentence
    assert rows(book(sheet))[0].line == 5


def test_a_header_may_stand_in_row_20_and_no_lower() -> None:
    assert rows(book(table(["imei"], [A], start=20)))[0].line == 21
    error = refusal(book(table(["title"]) + table(["imei"], [A], start=21)))
    assert error.code == "header-wrong"
    assert "serial,gtin" in error.detail


def test_the_first_visible_sheet_with_a_header_is_read() -> None:
    goods = table(["imei"], [A])
    source = book(goods, table(["Read me"]), goods, table(["imei"], [B]), "", state={1: "veryHidden"})
    assert [one.keys for one in rows(source)] == [[int(A[:14])]]
    first, second = findings(source)
    assert (first.code, first.value, second.code, second.value) == (
        "sheet-chosen", "Sheet3", "sheet-ignored", "Sheet2, Sheet4",
    )  # fmt: skip


def test_columns_that_are_not_read_are_named() -> None:
    assert coded(book(table(["imei", "colour"], [A, "red"]))) == [(1, "column-ignored")]


@pytest.mark.parametrize("sheets", [(), ("",), (row(1, '<c r="A1" s="1"/>'),), (table(["imei"]),)])
def test_an_empty_workbook_is_refused(sheets: tuple[str, ...]) -> None:
    assert refusal(book(*sheets)).code == "file-empty"


def test_an_error_in_a_cell_costs_its_row_if_it_is_read() -> None:
    head = table(["note", "imei", "serial"])
    broken = row(2, '<c r="A2" t="e"><v>#REF!</v></c>', '<c r="B2" t="e"><v>#N/A</v></c>', text("C2", "S1"))
    fine = row(3, '<c r="A3" t="e"><v>#REF!</v></c>', text("B3", A))
    first, second = readings(book(head + broken + fine))
    assert second[0] is not None
    rejected = [one for one in first[1] if one.rejected]
    assert [(one.line, one.code, one.value) for one in rejected] == [(2, "cell-error", "#N/A")]
    assert "B2" in rejected[0].sentence
    assert first[2] == ["#REF!", "#N/A", "S1"]


FORMATS = {
    "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="dd/mm/yyyy;@"/>'
    "<numFmt numFmtId=\"165\" formatCode='0.0&quot;days&quot;_m'/></numFmts>"
    '<cellStyleXfs count="1"><xf numFmtId="14"/></cellStyleXfs><cellXfs count="4"><xf numFmtId="0"/>'
    '<xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs></styleSheet>',
}


def styled(*rows: str) -> bytes:
    """A workbook with the formats above."""
    whole = parts(table(["imei", "serial", "gtin"]) + "".join(rows))
    related = f'<Relationship Id="f" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>'
    relations = whole[RELATIONS].replace("</Relationships>", related)
    return packed({**whole, RELATIONS: relations, **FORMATS})


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ('<c r="B2" s="1"><v>46023</v></c>', "a date"), ('<c r="B2" s="2" t="n"><v>46023.5</v></c>', "a date"),
        ('<c r="B2" t="d"><v>2026-01-01</v></c>', "a date"), ('<c r="B2" t="b"><v>1</v></c>', "TRUE or FALSE"),
    ],
)  # fmt: skip
def test_a_date_or_a_boolean_is_no_serial(cell: str, says: str) -> None:
    ((answer, (finding,), given),) = readings(styled(row(2, text("A2", A), cell)))
    assert answer is not None
    assert (answer.serial, finding.code, finding.rejected, given) == (
        "",
        "serial-no-text",
        False,
        [A, "", ""],
    )
    assert f"B2 holds {says}" in finding.sentence
    ((answer, found, given),) = readings(styled(row(2, cell, text("C2", GTIN))))
    assert (answer, given) == (None, ["", "", GTIN])
    assert [one.code for one in found if one.rejected] == ["not-identified", "serial-no-text"]
    ((answer, found, _),) = readings(styled(row(2, cell)))
    assert answer is None


@pytest.mark.parametrize("cell", ['<c r="B2" s="3"><v>46023</v></c>', '<c r="B2" s="0"><v>46023</v></c>'])
def test_a_number_that_is_shown_as_one_may_be_a_serial(cell: str) -> None:
    assert rows(styled(row(2, text("A2", A), cell)))[0].serial == "46023"


def test_a_formula_without_its_result_costs_its_row_if_it_is_read() -> None:
    sheet = table(["imei", "pallet", "note"]) + row(2, text("A2", A), '<c r="B2"><f>X1</f><v></v></c>')
    sheet += row(3, text("A3", B), '<c r="B3" t="str"><f>""</f><v></v></c>', '<c r="C3"><f>X1</f></c>')
    first, second = readings(book(sheet))
    assert (first[0], second[0] is None) == (None, False)
    assert [one.code for one in first[1] if one.rejected] == ["cell-uncalculated"]


def test_a_row_that_is_too_long_costs_itself_only() -> None:
    sheet = table(["imei", "note", "more"]) + row(2, text("A2", A), text("B2", "x" * 70_000))
    sheet += row(3, text("A3", A), '<c r="B3" t="s"><v>0</v></c>', '<c r="C3" t="s"><v>0</v></c>')
    sheet += row(4, text("A4", B), '<c r="B4" t="s"><v>0</v></c>')
    source = book(sheet, strings=f"<si><t>{'y' * 40_000}</t></si>")
    answers = [(one.line if one else found[0].code) for one, found, _ in readings(source)]
    assert answers == ["line-too-long", "line-too-long", 4]


def test_shared_texts_are_found_in_any_order() -> None:
    numbers = [imei.full(35_209900_000000 + n) for n in range(1000)]
    order = [n * 617 % 1000 for n in range(1000)]
    strings = "".join(f"<si><t>{number}</t></si>" for number in numbers)
    sheet = "".join(row(n, f'<c r="A{n}" t="s"><v>{place}</v></c>') for n, place in enumerate(order, 2))
    found = rows(book(table(["imei"]) + sheet, strings=strings))
    assert [one.keys[0] for one in found] == [int(numbers[place][:14]) for place in order]


def test_long_shared_texts_are_kept_beside_the_others() -> None:
    long = "é" * 2_000 + "_x005F_"
    items = [long if n % 3 else f"_x0001_{n},4" for n in range(100)]
    strings = "".join(f"<si><t>{item}</t></si>" for item in items)
    head, numbers = table(["imei", "note"]), [*range(99, 0, -1), *range(100)]
    sheet = head + "".join(
        row(n, text(f"A{n}", A), f'<c r="B{n}" t="s"><v>{number}</v></c>')
        for n, number in enumerate(numbers, 2)
    )
    said = [cells[1] for _, _, cells in readings(book(sheet, strings=strings))]
    assert said == ["é" * 2_000 + "_" if n % 3 else f"\x01{n},4" for n in numbers]


GOODS = table(["imei", "serial"], [A, "S1"], [B])


def changed(change: Mapping[str, str | bytes | None], *sheets: str) -> bytes:
    """A workbook with some parts replaced, or left out."""
    whole: dict[str, str | bytes | None] = {**parts(*(sheets or [GOODS])), **change}
    return packed({name: content for name, content in whole.items() if content is not None})


def replaced(part: str, old: str, new: str) -> bytes:
    content = parts(GOODS)[part]
    assert old in content
    return changed({part: content.replace(old, new)})


def prefixed() -> bytes:
    content = parts(GOODS)["xl/worksheets/sheet1.xml"].replace("<", "<x:").replace("<x:/", "</x:")
    return changed({"xl/worksheets/sheet1.xml": content.replace("<x:?", "<?").replace("xmlns=", "xmlns:x=")})


WRITERS = {
    "strict": packed(parts(GOODS, names=STRICT)),
    "prefixes": prefixed(),
    "absolute": replaced(RELATIONS, '"worksheets/', '"/xl/worksheets/'),
    "dotted": replaced(RELATIONS, '"worksheets/', '"./worksheets/'),
    "case": replaced(RELATIONS, '"worksheets/sheet1', '"Worksheets/Sheet1'),
    "backslashes": packed({name.replace("/", "\\"): content for name, content in parts(GOODS).items()}),
    "utf-16": changed(
        {"xl/worksheets/sheet1.xml": parts(GOODS)["xl/worksheets/sheet1.xml"].encode("utf-16")}
    ),
    "pretty": replaced("xl/worksheets/sheet1.xml", "<c ", "\n    <c "),
    "no shared texts": replaced(RELATIONS, f'<Relationship Id="s" Type="{OFFICE}/sharedStrings"', "<Other"),
    "macros": changed({"xl/vbaProject.bin": b"\xd0\xcf\x11\xe0"}),
    "stored": stored(parts(GOODS)),
    "packed": gzip.compress(book(GOODS)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_writers_do_differently(writer: str) -> None:
    source = WRITERS[writer]
    assert guess("goods", "", source[:4096]) is Format.XLSX
    assert [one.keys for one in rows(source)] == [[int(A[:14])], [int(B[:14])]]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "without a password"),
        (changed({"xl/workbook.bin": "x"}), "xlsb"),
        (
            packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<x/>"}),
            "ods",
        ),
        (packed({"_rels/.rels": "<x/>", "word/document.xml": "<x/>"}), "without sheets"),
        (packed({"goods.csv": f"imei\n{A}\n"}), "goods.csv"),
        (packed({}), "nothing"),
        (f"imei\n{A}\n".encode(), "CSV"),
        (b"", "XLSX"),
    ],
)
def test_what_is_no_xlsx_is_told_what_it_should_be(source: bytes, said: str) -> None:
    error = refusal(source)
    assert isinstance(error, Invalid)
    assert error.code == "format-unknown"
    assert said in error.detail


@pytest.mark.parametrize("shared", [False, True])
def test_memory_does_not_grow_with_the_rows(shared: bool) -> None:
    """20,000 rows with 20 MB of texts."""
    chance = Random(7)
    notes = [f"{chance.getrandbits(4_000):01000x}" for _ in range(20_000)]
    cells = [
        f'<c r="B{n}" t="s"><v>{n - 2}</v></c>' if shared else text(f"B{n}", note)
        for n, note in enumerate(notes, 2)
    ]
    sheet = "".join(row(n, f'<c r="A{n}"><v>{A}</v></c>', cell) for n, cell in enumerate(cells, 2))
    strings = "".join(f"<si><t>{note}</t></si>" for note in notes) if shared else ""
    head = table(["imei", "note"])
    source = io.BytesIO(book(head + sheet, strings=strings))
    tracemalloc.start()
    count = sum(1 for _ in read(source, Format.XLSX, Defaults()).readings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, peak < 8 * 2**20) == (20_000, True)
