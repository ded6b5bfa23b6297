"""An XLSX written as a stream: one sheet, in which every cell is text and stays text when somebody edits it.

Knows nothing of devices. What is written is read again as it was by `intake.workbook`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MOST_ROWS, MOST_COLUMNS = 1_048_576, 512
"""As many as Excel has, and as many as we read."""

# What Excel holds in a cell.
_LONGEST = 32_767
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="Rejected rows" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    # The second format is Excel's own number 49: text.
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts count="1">'
    '<font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf xfId="0"/><xf numFmtId="49" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}  # fmt: skip
_SHEET = "xl/worksheets/sheet1.xml"
_BEGIN = (
    f'<worksheet xmlns="{_MAIN}"><cols><col min="1" max="16384" width="20" style="1" customWidth="1"/></cols>'
    "<sheetData>"
)
_END = (
    '</sheetData><ignoredErrors><ignoredError sqref="A1:XFD1048576" numberStoredAsText="1"/></ignoredErrors>'
    "</worksheet>"
)
_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What XML cannot hold, or changes, is written as `_x000D_`; what looks like that already gets an escape of its own.
_ODD = re.compile("[\0-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


async def written(pages: AsyncIterator[Sequence[Sequence[str]]]) -> AsyncIterator[bytes]:
    """The file in parts, of rows that come some thousand at once; a cell is cut to what Excel holds in one."""
    sink = _Sink()
    with ZipFile(cast(IO[bytes], sink), "w", ZIP_DEFLATED) as archive:
        for name, text in _PARTS.items():
            archive.writestr(_part(name), _HEAD + text)
        with archive.open(_part(_SHEET), "w") as sheet:
            sheet.write((_HEAD + _BEGIN).encode())
            async for rows in pages:
                await asyncio.to_thread(_write, sheet, rows)
                yield sink.taken()
            sheet.write(_END.encode())
    yield sink.taken()


class _Sink:
    """Takes what is written, and can go back to none of it."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def taken(self) -> bytes:
        taken, self._held = bytes(self._held), bytearray()
        return taken


def _part(name: str) -> ZipInfo:
    # Without a date of its own: the same rows make the same file.
    part = ZipInfo(name)
    part.compress_type = ZIP_DEFLATED
    return part


def _write(sheet: IO[bytes], rows: Iterable[Sequence[str]]) -> None:
    sheet.write("".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows).encode())


def _cell(text: str) -> str:
    if not text:
        return '<c s="1"/>'
    blank = ' xml:space="preserve"' if text != text.strip() else ""
    text = _ODD.sub(_escaped, text[:_LONGEST]).translate(_MARKS)
    return f'<c s="1" t="inlineStr"><is><t{blank}>{text}</t></is></c>'


def _escaped(odd: re.Match[str]) -> str:
    return f"_x{ord(odd[0]):04X}_"
