"""Receipts, shown: what a goods-in file came to, and what was found on which of its lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.options import Number
from app.core.db import Connection
from app.devices import receipts
from app.devices.receipts import FindingKind, Receipt, Verdict

SHOWN = 10
_PAGE = 10_000


class Findings(msgspec.Struct, frozen=True):
    """A receipt, and all that was found: why rows were rejected, what looked odd, and what was filled in."""

    receipt: Receipt
    rejections: Sequence[Verdict]
    warnings: Sequence[Verdict]
    updates: Sequence[Verdict]

    def as_json(self) -> None:
        fields = msgspec.structs.asdict(self.receipt)
        found = {"rejections": self.rejections, "warnings_found": self.warnings, "updates": self.updates}
        show.json({**fields, **found})


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
    return await findings(conn, actor, await receipts.find_receipt(conn, actor, receipt_id))


async def findings(conn: Connection, actor: Principal, of: Receipt) -> Findings:
    """All that was found on the lines of a receipt."""
    rejections, warnings, updates = [await _all(conn, actor, of, kind) for kind in FindingKind]
    return Findings(of, rejections, warnings, updates)


async def _all(conn: Connection, actor: Principal, of: Receipt, kind: FindingKind) -> list[Verdict]:
    found: list[Verdict] = []
    after = 0
    while page := await receipts.findings(conn, actor, of.receipt_id, kind, after=after, limit=_PAGE):
        found += page
        after = page[-1].finding
    return found


def drawn(found: Findings) -> Iterator[RenderableType]:
    """The figures, and the first findings of each kind."""
    names = ("rows", "registered", "updated", "arrived", "unchanged", "rejected", "warnings")
    counts = [(name, f"{getattr(found.receipt, name):,}") for name in names]
    yield show.facts([("receipt", str(found.receipt.receipt_id)), *counts])
    rest = f"imei-gateway receipt {found.receipt.receipt_id} --json"
    yield from _first("Why rows were rejected", found.rejections, rest)
    yield from _first("What looked odd and was no reason to reject", found.warnings, rest)
    yield from _first("What was filled in", found.updates, rest)


def _first(title: str, verdicts: Sequence[Verdict], rest: str) -> Iterator[RenderableType]:
    if verdicts:
        rows = [(f"{it.line:,}", it.code, it.sentence) for it in verdicts[:SHOWN]]
        yield from ("", show.table(title, ("#line", "code", "sentence"), rows))
    if len(verdicts) > SHOWN:
        yield f"… and {len(verdicts) - SHOWN:,} more: {rest}"
