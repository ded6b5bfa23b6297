"""Which sheets a workbook has, and in which parts of the ZIP they and their shared texts are."""

from __future__ import annotations

from typing import NamedTuple

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.workbook import markup
from app.devices.intake.workbook.archive import Archive, broken

_SMALL = 16 * 1024**2
_MOST = 1_000
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_RELATIONSHIP = (f"{_PACKAGE} Relationship",)
_SHEET = markup.names("sheet")
_OFFICE = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)


class Sheet(NamedTuple):
    """A visible sheet: its name, its place among all sheets from 0, and its part of the ZIP."""

    name: str
    place: int
    part: str


class Contents(NamedTuple):
    """The visible sheets in their order, and the parts of the shared texts and of the formats, or '' for none."""

    sheets: list[Sheet]
    strings: str
    styles: str


class _Relation(NamedTuple):
    kind: str
    target: str


def contents(archive: Archive) -> Contents:
    """Raises Invalid `format-unknown` for what is no XLSX, `xlsx-broken`."""
    _refuse_others(archive)
    relations = _relations(archive, "", "_rels/.rels").values()
    book = next((relation.target for relation in relations if relation.kind == "officeDocument"), "")
    if not book:
        raise broken("The workbook does not say where its sheets are listed")
    folder, _, name = book.rpartition("/")
    relations_by_id = _relations(archive, folder, f"{folder}/_rels/{name}.rels")
    listed = markup.attributes(book, archive.blocks(book, _SMALL), _SHEET, _MOST)
    parts = {it.kind: it.target for it in reversed(relations_by_id.values())}
    return Contents(
        _visible(listed, relations_by_id), parts.get("sharedStrings", ""), parts.get("styles", "")
    )


def _visible(listed: list[dict[str, str]], relations: dict[str, _Relation]) -> list[Sheet]:
    sheets = []
    for place, attributes in enumerate(listed):
        name = attributes.get("name", "")
        ids = [attributes[f"{office} id"] for office in _OFFICE if f"{office} id" in attributes]
        relation = relations.get(ids[0]) if ids else None
        if relation is None:
            raise broken(f"The workbook does not say where its sheet '{shown(name)}' is")
        if attributes.get("state", "visible") == "visible" and relation.kind == "worksheet":
            sheets.append(Sheet(name, place, relation.target))
    return sheets


def _relations(archive: Archive, folder: str, part: str) -> dict[str, _Relation]:
    found = markup.attributes(part, archive.blocks(part, _SMALL), _RELATIONSHIP, 10 * _MOST)
    relations = {}
    for attributes in found:
        kind = attributes.get("Type", "").rpartition("/")[2]
        if kind in ("officeDocument", "worksheet", "chartsheet", "dialogsheet", "sharedStrings", "styles"):
            relations[attributes.get("Id", "")] = _Relation(kind, _target(folder, attributes))
    return relations


def _target(folder: str, attributes: dict[str, str]) -> str:
    """The name of a part: from the root, or from the folder of the part that names it."""
    target = attributes.get("Target", "").replace("\\", "/")
    steps = [step for step in target.split("/") if step not in ("", ".")]
    if attributes.get("TargetMode") == "External" or ".." in steps or ":" in target or not steps:
        raise broken(f"The workbook's part '{shown(target)}' is outside of the workbook")
    return "/".join(steps if target.startswith("/") or not folder else [folder, *steps])


def _refuse_others(archive: Archive) -> None:
    if "xl/workbook.bin" in archive:
        raise _other("The file is a binary workbook (.xlsb)", "save it as 'Excel Workbook (.xlsx)'")
    if "content.xml" in archive:
        raise _other("The file is an OpenDocument file (.ods)", "save it as XLSX or CSV")
    if "word/document.xml" in archive or "ppt/presentation.xml" in archive:
        raise _other("The file is an Office document without sheets", "save the table as XLSX or CSV")
    if "_rels/.rels" not in archive and "xl/workbook.xml" not in archive:
        names = shown(", ".join(archive.names()[:5]), 80) or "nothing"
        raise _other(
            f"The file is a ZIP that holds {names}, and no workbook", "unpack it, or pack it as gzip"
        )


def _other(what: str, right: str) -> Invalid:
    return Invalid(f"{what}; {right} and send that.", "format-unknown")
