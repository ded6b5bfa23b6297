"""Devices, shown: what is registered of each, how it stands, and where it stood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.failures import ERROR
from app.core.clock import utc_now
from app.core.db import Connection
from app.core.imei import shown
from app.devices.find import Device, called
from app.devices.moves import Where, history

# A serial is shared by a few models at most.
_MOST = 1000


class Found(msgspec.Struct, frozen=True):
    """A device, and where it stood, latest first; nothing where it never moved."""

    device: Device
    stays: list[Where]

    @property
    def fields(self) -> dict[str, Any]:
        return {**msgspec.structs.asdict(self.device), "history": self.stays}


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@options.as_json
@options.acting
def device(names: tuple[str, ...], as_json: bool) -> int | None:
    """Show devices by IMEI, by serial, or by serial and GTIN as GS1 writes both.

    What was registered, whether it has arrived, how it stands, and every pallet that it stood on. Exit code 1 if
    nobody registered one of the names; the others are shown.

    \b
    Examples
      $ imei-gateway device 490154203237518
      $ imei-gateway device R58M1A0001 "(01)09521234543213(21)ABC123"
    """
    found, unknown = desk.read(lambda conn, actor: _read(conn, actor, names))
    if as_json:
        show.json({"devices": [it.fields for it in found], "unknown": unknown})
    else:
        for place, it in enumerate(found):
            show.draw(*([""] if place else []), *_drawn(it))
    if unknown and not as_json:
        show.say(f"Nobody registered {', '.join(unknown)}.", "red", stderr=True)
    return ERROR if unknown else None


async def _read(conn: Connection, actor: Principal, names: tuple[str, ...]) -> tuple[list[Found], list[str]]:
    devices: dict[int, Device] = {}
    unknown: list[str] = []
    for name in dict.fromkeys(names):
        found = await called(conn, actor, name, limit=_MOST, now=utc_now())
        devices |= {it.id: it for it in found}
        unknown += [] if found else [shown(name)]
    return [Found(it, await history(conn, number)) for number, it in devices.items()], unknown


def _drawn(found: Found) -> Iterator[RenderableType]:
    it = found.device
    facts: list[tuple[str, RenderableType]] = [
        ("device", str(it.id)), ("IMEIs", ", ".join(it.imeis)), ("serial", it.serial), ("GTIN", it.gtin),
        ("model", f"{it.brand} {it.model}".strip()), ("pallet", it.pallet), ("site", it.site), ("owner", it.owner),
        ("unit value", f"{it.unit_value:,} {it.currency}".strip() if it.unit_value is not None else ""),
        ("registered", f"{show.moment(it.registered_at)} by receipt {it.receipt_id}"),
        ("arrived", "yes" if it.arrived else "no, it was announced and has not come"),
        ("sold", show.moment(it.sold_at)), ("erased", show.moment(it.erased_at)),
        ("last seen", show.moment(it.seen_at)), ("left", show.moment(it.left_at)),
        ("status", show.state(it.status)),
    ]  # fmt: skip
    yield show.facts([(name, value) for name, value in facts if value])
    if found.stays:
        columns = ("pallet", "from", "told by", "recorded", "by", "")
        yield from ("", show.table("Where it stood", columns, map(_row, found.stays)))


def _row(stay: Where) -> tuple[str, ...]:
    since = show.moment(stay.moved_at) or "the beginning"
    withdrawn = "taken back" if stay.withdrawn else ""
    told = (stay.source, show.moment(stay.recorded_at), stay.recorded_by, withdrawn)
    return stay.pallet or "none", since, *told
