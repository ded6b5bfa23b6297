"""Dirty files of any kind: what was given back, fixed and sent again comes to what the clean file gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import imei
from app.devices.intake import REJECT_COLUMNS, Defaults, Format, Reading, Row, names, read
from app.devices.intake.columns import SINGLE

DELIMITERS = ",;\t|:^~\x1f"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
FIRST = 35_209900_000000

# What spoils the cells of one row; they begin with two IMEIs and the serial.
Spoiler = Callable[[list[str]], list[str]]


def _cell(place: int, change: Callable[[str], str]) -> Spoiler:
    return lambda cells: [change(cell) if at == place else cell for at, cell in enumerate(cells)]


REPAIRED: list[Spoiler] = [
    _cell(0, lambda digits: f"{digits}.0"),
    _cell(0, lambda digits: f"{digits[0]},{digits[1:]}E+14"),
    _cell(0, lambda digits: f"{int(digits):,}"),
    _cell(0, lambda digits: f'="{digits}"'),
    _cell(1, lambda digits: f"'{digits}"),
    _cell(2, lambda serial: f'="{serial}"'),
    _cell(3, lambda gtin: f"{gtin[1:]}.0"),
]
REJECTED: list[Spoiler] = [
    _cell(0, lambda digits: f"{int(digits):.5E}"),
    _cell(0, lambda digits: f"{digits[:14]}{(int(digits[14]) + 1) % 10}"),
    _cell(0, lambda digits: f"{digits[:14]}"),
    _cell(0, lambda digits: "/".join(imei.full(int(digits[:14]) + n) for n in range(5))),
    _cell(2, lambda serial: f"{serial}\0"),
    _cell(3, lambda gtin: "9.50600013435E+12"),
    _cell(4, lambda sscc: sscc[:17]),
    lambda cells: cells[:-1],
    lambda cells: [*cells, "x"],
]


class Sample(NamedTuple):
    """A file: how it is written, and of each row what spoils it."""

    header: list[str]
    delimiter: str
    encoding: str
    quoting: int
    rows: list[tuple[list[str], Spoiler | None]]


def _names(field: str) -> list[str]:
    return [name.strip() for line in names.FIELDS[field].strip().splitlines() for name in line.split("|")]


HEADERS = st.tuples(
    st.just("IMEI 1"),
    st.just("IMEI_2"),
    *(st.sampled_from(_names(field)) for field in SINGLE),
    st.just("Note"),
)
# None of the letters is a byte of Windows-1252 with which another could form UTF-8 by chance.
TEXTS = st.text(alphabet='aZ9éß"\n,;:|^~ ', max_size=8).map(lambda text: f"x{text}x")
OTHERS = st.tuples(
    st.just("09506000134352"), st.just("106141412345678908"), st.sampled_from(["Entrepôt", "Süd", "PAR1"]),
    st.sampled_from(["", "ACME"]), TEXTS, st.sampled_from(["499.90", "5", ""]), st.just("EUR"), TEXTS,
)  # fmt: skip


def _rows(found: list[tuple[tuple[str, ...], Spoiler | None]]) -> list[tuple[list[str], Spoiler | None]]:
    return [
        ([imei.full(FIRST + 2 * n), imei.full(FIRST + 2 * n + 1), f"SN-{n}", *others], spoiler)
        for n, (others, spoiler) in enumerate(found)
    ]


SAMPLES = st.builds(
    Sample,
    HEADERS.map(list),
    st.sampled_from(DELIMITERS),
    st.sampled_from(ENCODINGS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.lists(st.tuples(OTHERS, st.sampled_from([None, *REPAIRED, *REJECTED])), min_size=1, max_size=6).map(
        _rows
    ),
)


def file_of(sample: Sample, header: Sequence[str], rows: Iterable[Sequence[str]]) -> io.BytesIO:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=sample.delimiter, quoting=sample.quoting)  # type: ignore[arg-type]
    writer.writerows([header, *rows])
    return io.BytesIO(text.getvalue().encode(sample.encoding))


def readings(file: io.BytesIO) -> tuple[tuple[str, ...], list[Reading]]:
    taken = read(file, Format.CSV, Defaults())
    return taken.columns, list(taken.readings)


def devices(found: Iterable[Reading]) -> list[Row]:
    return sorted(row._replace(line=0) for row, _, _ in found if row is not None)


@settings(max_examples=150, deadline=None)
@given(SAMPLES)
def test_what_is_given_back_and_fixed_is_read_once_and_as_if_it_had_been_clean(sample: Sample) -> None:
    clean = [cells for cells, _ in sample.rows]
    dirty = [spoiler(list(cells)) if spoiler else cells for cells, spoiler in sample.rows]
    columns, first = readings(file_of(sample, sample.header, dirty))
    assert columns == tuple(sample.header)
    assert [list(cells) for _, _, cells in first] == [[*map(_lines, cells)] for cells in dirty]
    refused = [n for n, (row, _, _) in enumerate(first) if row is None]
    assert refused == [n for n, (_, spoiler) in enumerate(sample.rows) if spoiler in REJECTED]

    fixed = [[*clean[n], first[n][1][0].code, first[n][1][0].sentence] for n in refused]
    again = readings(file_of(sample, [*columns, *REJECT_COLUMNS], fixed))[1] if fixed else []
    expected = readings(file_of(sample, sample.header, clean))[1]
    assert devices([*first, *again]) == devices(expected)
    assert [list(cells) for _, _, cells in again] == [[*map(_lines, clean[n])] for n in refused]


def _lines(cell: str) -> str:
    return cell.replace("\r\n", "\n")
