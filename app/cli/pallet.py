"""Pallets, shown: what one holds and what was announced for it; and movements from one to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import rich_click as click
from rich.console import RenderableType
from rich.text import Text

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.failures import ERROR
from app.cli.scope import Places
from app.core.db import Connection
from app.devices import moves
from app.devices.find import count_on
from app.devices.moves import Move, Moved
from app.devices.pallets import Reconciliation, Unit, reconcile

SHOWN = 10
_KINDS = {
    "missing": "Announced for it, and not come",
    "elsewhere": "Announced for it, and come on another pallet",
    "surplus": "Come on it, and not announced for it",
}
_NAMES = {"imeis": "IMEIs", "gtin": "GTIN", "pallet": "stands on", "announced_for": "announced for"}


@click.command()
@click.argument("sscc", metavar="SSCC")
@click.option("--at", callback=options.moment, metavar="MOMENT",
              help="Count what it held then, as in 2026-12-22T02:00+01:00; else what it holds now.")  # fmt: skip
@options.as_json
@options.acting
def pallet(sscc: str, at: datetime | None, as_json: bool) -> None:
    """Show a pallet: how many devices stand on it, and what has become of those that were announced for it.

    What is missing, elsewhere and surplus is always as it is now.

    \b
    Examples
      $ imei-gateway pallet 340123450000000017
      $ imei-gateway pallet 340123450000000017 --at 2026-12-22T02:00+01:00
    """

    async def work(conn: Connection, actor: Principal) -> tuple[int, Reconciliation]:
        return await count_on(conn, actor, sscc, at), await reconcile(conn, actor, sscc)

    devices, found = desk.read(work)
    if as_json:
        show.json({"devices": devices, "at": at, **msgspec.structs.asdict(found)})
    else:
        show.draw(*_drawn(devices, at, found))


def _drawn(devices: int, at: datetime | None, found: Reconciliation) -> Iterator[RenderableType]:
    when = f"on it at {show.moment(at)}" if at else "on it now"
    facts = [("pallet", found.pallet), (when, show.count(devices, "device"))]
    if not found.announced:
        yield show.facts([*facts, ("announced", "nothing")])
        return
    counts = [(kind, f"{getattr(found, f'{kind}_count'):,}") for kind in _KINDS]
    yield show.facts(
        [*facts, ("announced", f"{found.announced:,}"), ("arrived", f"{found.arrived:,}"), *counts]
    )
    for kind, title in _KINDS.items():
        yield from _listed(title, getattr(found, kind), getattr(found, f"{kind}_count"), found.pallet)


def _listed(title: str, units: Sequence[Unit], count: int, sscc: str) -> Iterator[RenderableType]:
    if not units:
        return
    rows = [
        {name: _text(value) for name, value in msgspec.structs.asdict(it).items()} for it in units[:SHOWN]
    ]
    # What the question said already is not said again.
    columns = [name for name in rows[0] if name != "id" and any(row[name] not in ("", sscc) for row in rows)]
    named = [_NAMES.get(name, name) for name in columns]
    # A table would break its title to its own width.
    yield from ("", Text(title, style="bold"))
    yield show.table("", named, [[row[name] for name in columns] for row in rows])
    if count > SHOWN:
        yield f"… and {count - SHOWN:,} more: imei-gateway pallet {sscc} --json"


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


@click.command()
@click.option("--to", required=True, metavar="SSCC", help="The pallet that they are put on; '' is none.")
@click.option("--imei", multiple=True, metavar="IMEI", help="A device; may be given many times.")
@click.option(
    "--serial", multiple=True, metavar="SERIAL", help="A device by its serial, or (01)GTIN(21)SERIAL."
)
@click.option(
    "--pallet", "source", default="", metavar="SSCC", help="All that stood on this pallet at that time."
)
@click.option("--at", callback=options.moment, metavar="MOMENT",
              help="When it happened, as in 2026-12-22T02:00+01:00; else now.")  # fmt: skip
@options.as_json
@options.acting
def move(
    to: str, imei: tuple[str, ...], serial: tuple[str, ...], source: str, at: datetime | None, as_json: bool
) -> int | None:
    """Move devices to another pallet, or off any; told late or not.

    A device stands where the latest movement, by its time, has put it. If anything cannot be right, nothing is
    moved. Exit code 1 if nobody registered one of the names; the others are moved.

    \b
    Examples
      $ imei-gateway move --to 340123450000000017 --imei 490154203237518
      $ imei-gateway move --to 340123450000000017 --pallet 106141412345678908 --at 2026-12-22T02:00+01:00
    """
    told = Move(to, imei, serial, source, at)
    with _places(told).told():
        moved = desk.change(
            lambda conn, actor, now: moves.move(conn, actor, [told], source=f"movement:{uuid4()}", now=now)
        )
    if as_json:
        show.json(moved)
    else:
        _tell(moved)
    return ERROR if moved.unknown else None


def _places(told: Move) -> Places:
    lists = {"imeis": ("--imei", told.imeis), "serials": ("--serial", told.serials)}
    listed = {
        f"/moves/0/{field}/{place}": option
        for field, (option, texts) in lists.items()
        for place in range(len(texts))
    }
    return Places({**listed, **{f"/moves/0/{field}": f"--{field}" for field in ("to", "pallet", "at")}})


def _tell(moved: Moved) -> None:
    devices = show.count(moved.changed, "device stands", "devices stand")
    kept = show.count(moved.recorded, "movement is kept", "movements are kept")
    show.say(f"{kept}; {devices} elsewhere than before.")
    if moved.unknown:
        show.say(f"Nobody registered {show.some(moved.unknown)}.", "red", stderr=True)
