"""Receipts, shown: what a goods-in file came to, what was found on which of its lines, and the list of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, rejects, show
from app.cli.options import Number
from app.cli.rejects import RejectFile
from app.core.db import Connection, Pool
from app.devices import receipts
from app.devices.receipts import FindingKind, Gap, Receipt, ReceiptKind, Verdict
from app.devices.tac import TacFinding

SHOWN = 10
_PAGE = 10_000


class Findings(msgspec.Struct, frozen=True):
    """A receipt, and all that was found: why rows were rejected, what looked odd, what was filled in, and what is
    missing on its pallets by now."""

    receipt: Receipt
    rejections: Sequence[Verdict]
    warnings: Sequence[Verdict]
    updates: Sequence[Verdict]
    gaps: Sequence[Gap]

    def as_json(self, **more: object) -> None:
        fields = msgspec.structs.asdict(self.receipt)
        found = {"rejections": self.rejections, "warnings_found": self.warnings, "updates": self.updates}
        show.json({**fields, **found, "gaps": self.gaps, **more})


@click.command()
@click.argument("receipt_id", metavar="NUMBER", type=Number("a receipt"))
@rejects.option
@options.as_json
@options.acting
def receipt(receipt_id: int, rejects_to: Path | None, as_json: bool) -> None:
    """Show a receipt: what a goods-in file came to, why rows were rejected, and what looked odd.

    With --json: every finding; else the first ten of each kind. Rejected rows that are fixed are sent again by
    the options that the file came with.

    \b
    Examples
      $ imei-gateway receipt 1
      $ imei-gateway receipt 1 --rejects rejected.csv
      $ imei-gateway receipt 1 --json
    """
    out = RejectFile(rejects_to) if rejects_to else None
    found = desk.on_pool(lambda pool, actor: _read(pool, actor, receipt_id, out))
    if as_json:
        found.as_json()
        return
    tell(found, out)
    if out:
        show.say(out.told())


async def _read(pool: Pool, actor: Principal, receipt_id: int, out: RejectFile | None) -> Findings:
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
        found = await findings(conn, actor, await receipts.find_receipt(conn, actor, receipt_id))
    if out:
        await out.write(pool, actor, found.receipt)
    return found


async def findings(conn: Connection, actor: Principal, of: Receipt) -> Findings:
    """All that was found on the lines of a receipt."""
    rejections, warnings, updates = [await _all(conn, actor, of, kind) for kind in FindingKind]
    return Findings(of, rejections, warnings, updates, await receipts.gaps(conn, actor, of.receipt_id))


async def _all(conn: Connection, actor: Principal, of: Receipt, kind: FindingKind) -> list[Verdict]:
    found: list[Verdict] = []
    after = 0
    while page := await receipts.findings(conn, actor, of.receipt_id, kind, after=after, limit=_PAGE):
        found += page
        after = page[-1].finding
    return found


def tell(found: Findings, out: RejectFile | None) -> None:
    """Shows the figures, the first findings of each kind, and what is missing. `out` is where the rejected rows are."""
    show.draw(*_drawn(found, out))
    if found.gaps:
        show.draw("")
        show.say(_missing(found.gaps))


def _drawn(found: Findings, out: RejectFile | None) -> Iterator[RenderableType]:
    names = ("rows", "registered", "updated", "arrived", "unchanged", "rejected", "warnings")
    counts = [(name, f"{getattr(found.receipt, name):,}") for name in names]
    again = f"imei-gateway receipt {found.receipt.receipt_id}"
    yield show.facts([("receipt", str(found.receipt.receipt_id)), *counts])
    rest = f"all of them are in {out.path}" if out else f"{again} --rejects FILE"
    counted = receipts.counted(found.receipt.source)
    for title, verdicts, others in (
        ("Why rows were rejected", found.rejections, rest),
        ("What looked odd and was no reason to reject", found.warnings, f"{again} --json"),
        ("What was filled in", found.updates, f"{again} --json"),
    ):
        yield from first(title, verdicts, others, counted)


def first(
    title: str, verdicts: Sequence[Verdict | TacFinding], rest: str, counted: str = "line"
) -> Iterator[RenderableType]:
    """The first findings of a kind, by the number of what is `counted`, and where the `rest` of them are."""
    if verdicts:
        rows = [(f"{it.line:,}", it.code, it.sentence) for it in verdicts[:SHOWN]]
        yield from ("", show.table(title, (f"#{counted}", "code", "sentence"), rows))
    if len(verdicts) > SHOWN:
        yield f"… and {len(verdicts) - SHOWN:,} more: {rest}"


def _missing(gaps: Sequence[Gap]) -> str:
    missing = sum(gap.missing for gap in gaps)
    devices, have = show.count(missing, "announced device"), "has" if missing == 1 else "have"
    named = show.some([gap.pallet for gap in gaps])
    return f"{devices} on {len(gaps):,} of its pallets {have} not come: pallet {named}"


@click.command("receipts")
@click.option("--supplier", help="Only those of this supplier, spelled in the same way.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in ReceiptKind]), help="Only those of this kind."
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many."
)
@options.as_json
@options.acting
def list_(supplier: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List receipts, the newest first: what came in by file, by request and by event.

    \b
    Examples
      $ imei-gateway receipts
      $ imei-gateway receipts --supplier ACME --kind announcement
    """
    wanted = ReceiptKind(kind) if kind else None

    async def work(conn: Connection, actor: Principal) -> list[Receipt]:
        return await receipts.latest(conn, actor, before=None, supplier=supplier, kind=wanted, limit=limit)

    found = desk.read(work)
    if as_json:
        show.json({"receipts": found})
        return
    columns = ("#receipt", "received", "kind", "supplier", "source", "#rows", "#registered", "#updated",
               "#unchanged", "#rejected", "by")  # fmt: skip
    show.draw(show.table("", columns, map(_row, found)))


def _row(it: Receipt) -> tuple[str, ...]:
    counts = (f"{number:,}" for number in (it.rows, it.registered, it.updated, it.unchanged, it.rejected))
    return (
        str(it.receipt_id),
        show.moment(it.received_at),
        it.kind,
        it.supplier,
        it.source,
        *counts,
        it.received_by,
    )
