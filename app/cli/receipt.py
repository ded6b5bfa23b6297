"""Receipts, shown: what a goods-in file came to, and what was found on which of its lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.options import Number
from app.core.db import Connection
from app.devices import register as devices
from app.devices.register import Receipt, Verdict

SHOWN = 10
_PAGE = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Findings(msgspec.Struct, frozen=True):
    """A receipt, and all that was found: why rows were rejected, and what looked odd. Each by its line."""

    receipt: Receipt
    rejections: Sequence[Verdict]
    warnings: Sequence[Verdict]

    def as_json(self) -> None:
        fields = msgspec.structs.asdict(self.receipt)
        show.json({**fields, "rejections": self.rejections, "warnings_found": self.warnings})


@click.command()
@click.argument("receipt_id", metavar="NUMBER", type=Number("a receipt"))
@options.as_json
@options.acting
def receipt(receipt_id: int, as_json: bool) -> None:
    """Show a receipt: what a goods-in file came to, why rows were rejected, and what looked odd.

    With --json: every finding; else the first ten of each kind.

    \b
    Examples
      $ imei-gateway receipt 1
      $ imei-gateway receipt 1 --json
    """
    found = desk.read(lambda conn, actor: _read(conn, actor, receipt_id))
    if as_json:
        found.as_json()
    else:
        show.draw(*drawn(found))


async def _read(conn: Connection, actor: Principal, receipt_id: int) -> Findings:
    return await findings(conn, actor, await devices.find_receipt(conn, actor, receipt_id))


async def findings(conn: Connection, actor: Principal, of: Receipt) -> Findings:
    """All that was found on the lines of a receipt."""
    rejections = await _all(conn, actor, of, rejected=True)
    warnings = await _all(conn, actor, of, rejected=False)
    return Findings(of, rejections, warnings)


async def _all(conn: Connection, actor: Principal, of: Receipt, *, rejected: bool) -> list[Verdict]:
    found: list[Verdict] = []
    after = 0
    while page := await devices.findings(
        conn, actor, of.receipt_id, rejected=rejected, after=after, limit=_PAGE
    ):
        found += page
        after = page[-1].finding
    # What is seen only when rows are compared is found after all the rest, whatever its line.
    return sorted(found, key=lambda it: (it.line, it.finding))


def drawn(found: Findings) -> Iterator[RenderableType]:
    """The figures, and the first findings of each kind."""
    names = ("rows", "registered", "unchanged", "rejected", "warnings")
    counts = [(name, f"{getattr(found.receipt, name):,}") for name in names]
    yield show.facts([("receipt", str(found.receipt.receipt_id)), *counts])
    rest = f"imei-gateway receipt {found.receipt.receipt_id} --json"
    yield from _first("Why rows were rejected", found.rejections, rest)
    yield from _first("What looked odd and was no reason to reject", found.warnings, rest)


def _first(title: str, verdicts: Sequence[Verdict], rest: str) -> Iterator[RenderableType]:
    if verdicts:
        rows = [(f"{it.line:,}", it.code, it.sentence) for it in verdicts[:SHOWN]]
        yield from ("", show.table(title, ("#line", "code", "sentence"), rows))
    if len(verdicts) > SHOWN:
        yield f"… and {len(verdicts) - SHOWN:,} more: {rest}"


def write(rejections: Sequence[Verdict], path: Path) -> None:
    """Every rejection, as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("line", "field", "value", "code", "sentence"))
        rows.writerows(
            (it.line, it.field, _harmless(it.value), it.code, _harmless(it.sentence)) for it in rejections
        )


def _harmless(text: str) -> str:
    """A spreadsheet runs a cell that begins like a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
