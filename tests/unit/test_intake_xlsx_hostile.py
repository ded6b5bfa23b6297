"""Workbooks that are damaged or mean harm: each ends in a refusal that says what is wrong, soon and small."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import imei
from app.core.errors import GatewayError, Invalid, TooLarge
from app.core.imei import shown
from app.devices.intake import Defaults, Format, read
from app.devices.intake.workbook.sheet import letters

from .workbooks import MAIN, OFFICE, book, packed, parts, row, stored, table, text

A, B = (imei.full(35_209900_176148 + n) for n in range(2))
GOODS = table(["imei", "serial"], [A, "S1"], [B])
WHOLE = {**parts(GOODS, strings="<si><t>one</t></si>")}
SHEET, STRINGS, LISTED = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"
MEGABYTE = 2**20


def count(source: bytes) -> int:
    return sum(1 for _ in read(io.BytesIO(source), Format.XLSX, Defaults()).readings)


def refusal(source: bytes) -> GatewayError:
    with pytest.raises((Invalid, TooLarge)) as error:
        count(source)
    assert len(error.value.detail) < 400
    assert error.value.detail.isprintable()
    return error.value


def replaced(part: str, old: str, new: str) -> bytes:
    assert old in WHOLE[part]
    return packed({**WHOLE, part: WHOLE[part].replace(old, new, 1)})


def without(part: str) -> bytes:
    return packed({name: content for name, content in WHOLE.items() if name != part})


def below(*rows: str) -> bytes:
    """A workbook with these rows below a header."""
    return book(table(["imei"]) + "".join(rows), strings="<si><t>one</t></si>")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
DTDS = {
    "laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>',
    "external": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    "fetched": '<!DOCTYPE x SYSTEM "http://localhost/x.dtd">',
    "parameter": '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    "empty": "<!DOCTYPE x>",
}


@pytest.mark.parametrize("part", [SHEET, STRINGS, LISTED, RELATIONS, "_rels/.rels"])
@pytest.mark.parametrize("kind", DTDS)
def test_no_part_may_have_a_document_type(part: str, kind: str) -> None:
    content = WHOLE[part].removeprefix('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>')
    assert refusal(packed({**WHOLE, part: DTDS[kind] + content})).code == "xlsx-doctype"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (without("_rels/.rels"), "lacks its part _rels/.rels"),
        (without(LISTED), "lacks its part xl/workbook.xml"),
        (without(RELATIONS), "lacks its part xl/_rels/workbook.xml.rels"),
        (without(SHEET), "lacks its part xl/worksheets/sheet1.xml"),
        (without(STRINGS), "lacks its part xl/sharedStrings.xml"),
        (replaced("_rels/.rels", 'officeDocument" T', 'thumbnail" T'), "where its sheets are listed"),
        (replaced(LISTED, 'r:id="r1"', 'r:id="r9"'), "'Sheet1'"),
        (replaced(LISTED, ' r:id="r1"', ""), "'Sheet1'"),
        (replaced(RELATIONS, "worksheets/", "../../worksheets/"), "outside"),
        (replaced(RELATIONS, "worksheets/", "/../../etc/"), "outside"),
        (replaced(RELATIONS, "worksheets/", "..\\\\x\\\\"), "outside"),
        (replaced(RELATIONS, "worksheets/sheet1.xml", "file:///etc/passwd"), "outside"),
        (replaced(RELATIONS, 'Target="worksheets', 'TargetMode="External" Target="worksheets'), "outside"),
        (replaced(RELATIONS, "worksheets/sheet1.xml", ""), "outside"),
        (replaced(LISTED, "</sheets>", '<sheet name="x" r:id="r1"/>' * 1_001 + "</sheets>"), "1,000"),
        (replaced(SHEET, "</sheetData>", ""), "not XML"),
        (packed({**WHOLE, SHEET: ""}), "not XML"),
        (packed({**WHOLE, SHEET: "\0"}), "not XML"),
        (packed({**WHOLE, STRINGS: WHOLE[STRINGS].encode() + b"\xff"}), "not XML"),
        (replaced(STRINGS, "<t>", "<t><t></t>"), "inside another"),
        (replaced(STRINGS, "<t>", "<si><t>"), "inside another"),
        (replaced(SHEET, "<sheetData>", "<a>" * 100_000), "without end"),
        (replaced(SHEET, "<sheetData>", f'<sheetData a="{"x" * MEGABYTE}">'), "without end"),
        (replaced(SHEET, "<sheetData>", "".join(f"<n{n}/>" for n in range(50_000))), "names"),
        (replaced(SHEET, "<sheetData>", "".join(f'<n a{n}=""/>' for n in range(50_000))), "names"),
    ],
)
def test_a_workbook_that_does_not_hang_together_is_refused(source: bytes, said: str) -> None:
    error = refusal(source)
    assert isinstance(error, Invalid)
    assert error.code == "xlsx-broken"
    assert said in error.detail


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (below(row(2, '<c r="A2" t="s"><v>1</v></c>')), "shared text 1"),
        (below(row(2, '<c r="A2" t="s"><v>-1</v></c>')), "shared text -1"),
        (below(row(2, '<c r="A2" t="s"><v>one</v></c>')), "shared text one"),
        (below(row(2, f'<c r="A2" t="s"><v>{"9" * 5_000}</v></c>')), "shared text 9999"),
        (below(row(2, text("B2", B), text("A2", A))), "Row 2"),
        (below(row(2, text("A2", B), text("A2", A))), "'A2'"),
        (below(row(2, text("XFE2", B))), "'XFE2'"),
        (below(row(2, text("AAAA2", B))), "'AAAA2'"),
        (below(row(2, text("A3", B))), "'A3'"),
        (below(row(2, text("a2", B))), "'a2'"),
        (below(row(2, text("2", B))), "'2'"),
        (below(row(2, text("$A$2", B))), "'$A$2'"),
        (below(row(2, '<c r="A2"><c r="B2"/></c>')), "'B2'"),
        (below(row(2, '<c r="A2"><v><v>1</v></v></c>')), "Row 2"),
        (below(row(2, "<c/>" * 16_385)), "Row 2"),
        (below('<c r="A1"><v>1</v></c>'), "'A1'"),
        (below(row(3), row(2)), "row '2'"),
        (below(row(1)), "row '1'"),
        (below('<row r="2"><row r="3"></row></row>'), "row '3'"),
        (below(row(1_048_577)), "row '1048577'"),
        (below('<row r="1048576"/><row/>'), "row '1048577'"),
        (below('<row r="-2"/>'), "row '-2'"),
        (below('<row r="2.0"/>'), "row '2.0'"),
        (below(f'<row r="{"1" * 5_000}"/>'), "row '111"),
        (below('<row r="٢"/>'), "row '٢'"),
    ],
)
def test_cells_that_are_nowhere_are_refused(source: bytes, said: str) -> None:
    error = refusal(source)
    assert isinstance(error, Invalid)
    assert error.code == "xlsx-broken"
    assert said in error.detail


def test_a_header_without_end_is_refused() -> None:
    wide = "".join("<c t='inlineStr'><is><t>imei</t></is></c>" for _ in range(513))
    error = refusal(book(row(1, wide) + row(2, text("A2", A))))
    assert error.code == "header-wrong"
    assert "column SS;" in error.detail
    assert "SR may be its last" in error.detail
    long = row(1, text("A1", "imei"), text("B1", "x" * 70_000)) + row(2, text("A2", A))
    assert refusal(book(long)).code == "header-wrong"


def patched(source: bytes, offset: int, form: str, value: int, entry: str) -> bytes:
    """One field of an entry of the ZIP's directory, changed."""
    place = source.index(b"PK\x01\x02")
    while source[place + 46 :].startswith(entry.encode()) is False:
        place = source.index(b"PK\x01\x02", place + 4)
    changed = bytearray(source)
    struct.pack_into(form, changed, place + offset, value)
    return bytes(changed)


ZIPPED = packed(WHOLE)


@pytest.mark.parametrize(
    "source",
    [
        patched(ZIPPED, 16, "<I", 12345, SHEET),  # checksum
        patched(ZIPPED, 20, "<I", 10, SHEET),  # packed size
        patched(ZIPPED, 20, "<I", 2**31, SHEET),
        patched(ZIPPED, 24, "<I", 10, SHEET),  # unpacked size
        patched(ZIPPED, 24, "<I", 2**30, SHEET),
        patched(ZIPPED, 10, "<H", 12, SHEET),  # method
        patched(ZIPPED, 10, "<H", 99, SHEET),
        patched(ZIPPED, 42, "<I", 2**31, SHEET),  # where it begins
        patched(ZIPPED, 42, "<I", 1, SHEET),
        patched(ZIPPED, 6, "<H", 255, SHEET),  # version
        stored(WHOLE).replace(A.encode(), B.encode()),
        ZIPPED[: len(ZIPPED) // 2],
        ZIPPED[:-1],
        ZIPPED[:4],
        ZIPPED[: ZIPPED.index(b"PK\x01\x02")],
        ZIPPED[:4] + ZIPPED[200:],
    ],
)
def test_a_damaged_zip_is_refused(source: bytes) -> None:
    error = refusal(source)
    assert isinstance(error, Invalid)
    assert error.code == "xlsx-broken"
    assert "Save it again" in error.detail


def test_a_part_with_a_password_is_told_so() -> None:
    error = refusal(patched(ZIPPED, 8, "<H", 1, "_rels/.rels"))
    assert (error.code, "password" in error.detail) == ("format-unknown", True)


def test_a_part_that_is_there_twice_is_refused() -> None:
    file = io.BytesIO(ZIPPED)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("XL/Worksheets/sheet1.xml", WHOLE[SHEET])
    assert "twice" in refusal(file.getvalue()).detail


def bomb() -> bytes:
    return packed({**WHOLE, SHEET: WHOLE[SHEET].encode() + b" " * (100 * MEGABYTE)})


def lying_bomb() -> bytes:
    return patched(bomb(), 24, "<I", len(WHOLE[SHEET]), SHEET)


def declared_bomb() -> bytes:
    return patched(ZIPPED, 24, "<I", 2**32 - 2, SHEET)


def bomb_of_texts() -> bytes:
    content = f'<sst xmlns="{MAIN}"><si><t>'.encode() + b"x" * (100 * MEGABYTE)
    return packed({**WHOLE, STRINGS: content + b"</t></si></sst>"})


def many_parts() -> bytes:
    return packed({**WHOLE, **{f"xl/media/image{n}.png": "" for n in range(20_000)}})


def long_row() -> bytes:
    return below(row(2, "".join(text("", "x" * 32_000).replace('r=""', "") for _ in range(100))))


def long_value() -> bytes:
    return below(row(2, text("A2", "y" * (50 * MEGABYTE))))


def listing() -> bytes:
    content = WHOLE[LISTED].encode().replace(b"<sheets>", b"<sheets>" + b" " * (20 * MEGABYTE))
    return packed({**WHOLE, LISTED: content})


TOO_LARGE = [bomb, declared_bomb, bomb_of_texts, many_parts, long_row, long_value, listing]


@pytest.mark.parametrize("made", [*TOO_LARGE, lying_bomb], ids=lambda made: made.__name__)
def test_size_is_refused_soon_and_small(made: Callable[[], bytes]) -> None:
    source = made()
    tracemalloc.start()
    started = time.process_time()
    error = refusal(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if made is lying_bomb:
        assert error.code == "xlsx-broken"
    else:
        assert isinstance(error, TooLarge)
        assert error.code == "xlsx-too-large"
    assert peak < 40 * MEGABYTE
    assert time.process_time() - started < 20


def test_a_value_outside_of_a_cell_is_nobodys() -> None:
    source = below(
        f'<row r="2"><v>{A}</v><c r="A2"><v>{B}</v></c></row><row r="3"><v>{A}</v><c r="A3"/></row>'
    )
    (answer,) = read(io.BytesIO(source), Format.XLSX, Defaults()).readings
    assert answer[2] == [B]


def test_an_encoding_is_not_looked_up() -> None:
    assert count(replaced(SHEET, "UTF-8", "rot13")) == 2


@pytest.mark.parametrize("field", [12, 16])
def test_what_would_begin_before_the_file_is_refused(field: int, tmp_path: Path) -> None:
    """A file refuses such a step otherwise than bytes in memory do."""
    path = tmp_path / "goods.xlsx"
    changed = bytearray(ZIPPED)
    struct.pack_into("<I", changed, ZIPPED.index(b"PK\x05\x06") + field, 100_000)
    path.write_bytes(changed)
    with path.open("rb") as file, pytest.raises(Invalid) as error:
        read(file, Format.XLSX, Defaults())
    assert error.value.code == "xlsx-broken"


def test_a_row_of_long_shared_texts_is_given_up_early() -> None:
    head = row(1, *(text(f"{letters(n)}1", "imei" if not n else f"n{n}") for n in range(500)))
    cells = row(2, *(f'<c r="{letters(n)}2" t="s"><v>0</v></c>' for n in range(500)))
    source = book(head + cells, strings=f"<si><t>{'y' * 60_000}</t></si>")
    tracemalloc.start()
    assert count(source) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MEGABYTE


def test_long_shared_texts_far_apart_cost_no_more_than_near_ones() -> None:
    strings = "".join(f"<si><t>{n}{'y' * 30_000}</t></si>" for n in range(320))

    def seconds(step: int) -> float:
        cells = (f'<c r="B{n}" t="s"><v>{n * step % 320}</v></c>' for n in range(2, 2_002))
        rows = "".join(row(n, f'<c r="A{n}"><v>{A}</v></c>', cell) for n, cell in enumerate(cells, 2))
        source = io.BytesIO(stored(parts(table(["imei", "note"]) + rows, strings=strings)))
        started = time.process_time()
        assert sum(1 for _ in read(source, Format.XLSX, Defaults()).readings) == 2_000
        return time.process_time() - started

    assert seconds(33) < 3 * seconds(1) + 0.5


def test_a_zip_in_the_zip_is_not_looked_into() -> None:
    assert count(packed({**WHOLE, "xl/embeddings/more.xlsx": ZIPPED})) == 2


def tried(source: bytes) -> None:
    said = ""
    try:
        count(source)
    except (Invalid, TooLarge) as error:
        said = error.detail
    assert said == shown(said, 400)


FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4)


@given(FLIPS, st.sampled_from([ZIPPED, stored(WHOLE)]), st.integers(0, 3))
def test_changed_bytes_raise_nothing_but_refusals(
    flips: list[tuple[int, int]], source: bytes, cut: int
) -> None:
    changed = bytearray(source)
    for place, value in flips:
        changed[place % len(changed)] = value
    tried(bytes(changed[: len(changed) - cut]))


PIECES = [
    "<c>", "</c>", "<v>", "</v>", "<row>", "</row>", '<c r="B9" t="s">', "<f/>", "<is>", "<t>", "</t>", "<!--", "-->",
    "<![CDATA[", "]]>", "&#0;", "&lt;", "&x;", "<?x ?>", 't="e"', 't="b"', "1E999", "_xD800_", "\ud7ff", "-1", "99",
    "<sheet/>", "<Relationship/>", "..", f'xmlns="{OFFICE}"', "<si/>", "<rPh>", "<!DOCTYPE x>", "'", '"',
]  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, 2**12), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=3)),
    min_size=1,
    max_size=3,
)


@given(st.sampled_from([SHEET, STRINGS, LISTED, RELATIONS, "_rels/.rels"]), EDITS)
def test_changed_markup_raises_nothing_but_refusals(part: str, edits: list[tuple[int, int, str]]) -> None:
    content = WHOLE[part]
    for place, gone, new in edits:
        cut = place % (len(content) + 1)
        content = content[:cut] + new + content[cut + gone :]
    tried(packed({**WHOLE, part: content.encode("utf-8", "surrogatepass")}))
