"""An incident's preview, drawn: what a person reads before the word is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from app.cli import show
from app.incidents.preview import Preview, Worth
from app.incidents.scope import Unknown

MOST_ROWS = 30


def drawn(preview: Preview) -> Iterator[RenderableType]:
    """Totals first, then by pallet, brand and model, then what a person should worry about."""
    kinds = f"{preview.identifiers:,} ({preview.imeis:,} IMEIs, {show.count(preview.serials, 'serial')})"
    facts: list[tuple[str, RenderableType]] = [("devices", f"{preview.devices:,}"), ("identifiers", kinds)]
    if preview.as_of:
        facts.append(("pallets as of", show.moment(preview.as_of)))
    yield show.facts(facts + [("value", _worth(worth)) for worth in preview.value])
    if preview.by_pallet:
        rows = [
            (it.pallet or "no pallet", f"{it.devices:,}", f"{it.identifiers:,}") for it in preview.by_pallet
        ]
        yield from _listed("By pallet", ("pallet", "#devices", "#identifiers"), rows)
    if any(it.brand for it in preview.by_brand):
        brands = [
            (it.brand or "not known", f"{it.devices:,}", f"{it.identifiers:,}") for it in preview.by_brand
        ]
        yield from _listed("By brand", ("brand", "#devices", "#identifiers"), brands)
    if preview.by_model:
        models = [(it.brand, it.model, f"{it.devices:,}") for it in preview.by_model]
        yield from _listed("By model", ("brand", "model", "#devices"), models)
    yield from _unknown(preview.unknown)
    yield from _left_out(preview)
    yield from _warnings(preview)
    if preview.claimed_elsewhere:
        held = [(str(it.incident_id), it.title, show.state(it.state), f"{it.identifiers:,}")
                for it in preview.claimed_elsewhere]  # fmt: skip
        yield from _listed(
            "Claimed by other incidents too", ("incident", "title", "state", "#identifiers"), held
        )


def _worth(worth: Worth) -> str:
    if not worth.devices:
        return f"not known for {show.count(worth.unvalued, 'device')}"
    without = f", {worth.unvalued:,} more without a value" if worth.unvalued else ""
    return f"{worth.amount:,.2f} {worth.currency} ({show.count(worth.devices, 'device')}{without})"


def _listed(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[RenderableType]]
) -> Iterator[RenderableType]:
    yield ""
    yield show.table(title, columns, rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        yield Text(f"… and {len(rows) - MOST_ROWS:,} more", style="dim")


def _left_out(preview: Preview) -> Iterator[RenderableType]:
    sold, spared = preview.sold, preview.spared
    if sold.devices and not sold.included:
        rows = [(show.some(sold.first), f"{sold.devices:,}", f"{sold.identifiers:,}")]
        yield from _listed("Sold to customers, and left out", ("such as", "#devices", "#identifiers"), rows)
    if spared.identifiers:
        yield from _listed(
            "Golden, and left out", ("IMEI", "why"), [(it.imei, it.why) for it in spared.first]
        )


def _warnings(preview: Preview) -> Iterator[RenderableType]:
    if preview.warnings:
        yield ""
    for it in preview.warnings:
        yield Text(f"{it.code}: {it.detail}", style="bold red" if it.acknowledge else "yellow")


def _unknown(unknown: Unknown) -> Iterator[RenderableType]:
    """Nothing is dropped silently: what nobody registered is shown, and what becomes of it."""
    found = {
        "IMEIs, declared all the same": unknown.imeis,
        "serials, declared all the same": unknown.serials,
        "pallets, of which no device can be blocked": unknown.pallets,
        "receipts, of which no device can be blocked": [str(number) for number in unknown.receipts],
    }
    rows = [(kind, f"{len(names):,}", show.some(names)) for kind, names in found.items() if names]
    if rows:
        yield ""
        yield show.table("Registered by nobody", ("", "#how many", "which"), rows)
