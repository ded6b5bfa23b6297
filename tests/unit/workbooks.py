"""Workbooks as a writer makes them, part by part, so that a test can have one of them wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from itertools import count
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = (
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)


def text(reference: str, value: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def row(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def table(*rows: Iterable[str], start: int = 1) -> str:
    """Rows of texts from column A on; an empty text is no cell."""
    return "".join(
        row(
            number,
            *(text(f"{chr(65 + place)}{number}", value) for place, value in enumerate(values) if value),
        )
        for number, values in zip(count(start), rows, strict=False)
    )


def parts(
    *sheets: str,
    strings: str = "",
    state: Mapping[int, str] | None = None,
    names: tuple[str, str] = (OFFICE, MAIN),
) -> dict[str, str]:
    """The parts of a workbook with these rows in its sheets Sheet1, Sheet2 and so on."""
    office, main = names
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    listed = [
        f'<sheet name="Sheet{n}" sheetId="{n}" r:id="r{n}" state={quoteattr((state or {}).get(n, "visible"))}/>'
        for n in range(1, len(sheets) + 1)
    ]
    related = [
        f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    ]
    related.append(f'<Relationship Id="s" Type="{office}/sharedStrings" Target="sharedStrings.xml"/>')
    relations = '<Relationships xmlns="{}">{}</Relationships>'
    book = f'<Relationship Id="b" Type="{office}/officeDocument" Target="xl/workbook.xml"/>'
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations.format(package, book),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{"".join(listed)}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations.format(package, "".join(related)),
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        **{
            f"xl/worksheets/sheet{n}.xml": f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData><pageMargins left="0.7"/></worksheet>'
            for n, rows in enumerate(sheets, 1)
        },
    }  # fmt: skip


def packed(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def book(*sheets: str, strings: str = "", state: Mapping[int, str] | None = None) -> bytes:
    return packed(parts(*sheets, strings=strings, state=state))


def stored(parts: Mapping[str, str | bytes]) -> bytes:
    """The parts, not compressed: what is changed in the file is changed in them."""
    return packed(parts, zipfile.ZIP_STORED)


def texts(book: bytes) -> list[list[str]]:
    """The cells of the first sheet of a workbook whose cells are all text, by a reader that is not ours."""
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        assert archive.testzip() is None
        root = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    found = root.iter(f"{{{MAIN}}}row")
    return [["".join(cell.itertext()) for cell in line] for line in found]
