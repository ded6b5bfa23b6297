"""Workbooks as we write them: what is written is read again as it was, and nothing is held but a part."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from app.devices import text_sheet
from app.devices.intake import Defaults, Format, read

from . import workbooks

ANY = st.text(max_size=12) | st.text("_x0045Fa <&>\r\n\t\x00\x1f\x85\ufffe=+-@'\"", max_size=14)


async def pages(*rows: Sequence[str]) -> AsyncIterator[Sequence[Sequence[str]]]:
    for row in rows:
        yield [row]


def written(*rows: Sequence[str]) -> bytes:
    async def all_of() -> bytes:
        return b"".join([part async for part in text_sheet.written(pages(*rows))])

    return asyncio.run(all_of())


def read_again(book: bytes) -> list[list[str]]:
    return [list(cells) for _, _, cells in read(io.BytesIO(book), Format.XLSX, Defaults()).readings]


@given(st.lists(st.tuples(ANY, ANY, ANY), min_size=1, max_size=4))
@example([("=1+1", "_x0041_", "\x07\r\n")])
@example([("0123", "352099001761481", " 1 ")])
@example([("_x005F_x0041_", "\ufffe\uffff", "\ud7ff\U0001f4f1")])
def test_what_is_written_is_read_as_it_was(rows: list[tuple[str, str, str]]) -> None:
    book = written(["imei", "serial", "a", "b", "c"], *(["123456789012345", "=S", *row] for row in rows))
    assert [cells[2:] for cells in read_again(book)] == [list(row) for row in rows]


def test_every_cell_is_a_text_for_whoever_edits_it() -> None:
    book = written(["imei", "note"], ["352099001761481", ""])
    assert workbooks.texts(book) == [["imei", "note"], ["352099001761481", ""]]
    sheet = _part(book, "xl/worksheets/sheet1.xml")
    assert sheet.count('<c s="1"') == 4
    assert 'numFmtId="49"' in _part(book, "xl/styles.xml")


def _part(book: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        return archive.read(name).decode()


def test_the_same_rows_make_the_same_file() -> None:
    assert written(["imei"], ["1"]) == written(["imei"], ["1"])


def test_a_cell_is_no_longer_than_excel_takes() -> None:
    ((_, cell),) = read_again(written(["imei", "note"], ["1", "x" * 40_000]))
    assert len(cell) == 32_767


def alike(start: int, columns: int) -> list[str]:
    """A row as one of many that were rejected for the same."""
    number = f"{35209900000000 + start}0"
    said = f"IMEI {number} fails the Luhn check: its last digit would be 3."
    return [number, *["x" * 20] * columns, "imei-check-digit", said]


def test_memory_does_not_grow_with_the_rows_and_rows_that_are_all_alike_can_be_read() -> None:
    async def many() -> AsyncIterator[Sequence[Sequence[str]]]:
        yield [["imei", *["note"] * 60, "reject_code", "reject_sentence"]]
        for start in range(0, 20_000, 1000):
            yield [alike(number, 60) for number in range(start, start + 1000)]

    async def size() -> tuple[bytes, int]:
        file = io.BytesIO()
        tracemalloc.start()
        async for part in text_sheet.written(many()):
            file.write(part)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return file.getvalue(), peak

    file, peak = asyncio.run(size())
    assert peak < 32 * 2**20
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.getinfo("xl/worksheets/sheet1.xml").file_size > 3 * peak
    assert sum(1 for _ in read(io.BytesIO(file), Format.XLSX, Defaults()).readings) == 20_000
