"""What was sold, what is held of it, and what is forgotten, from the command line."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import rich_click as click

from app.cli import desk, options, show
from app.core import imei
from app.devices import erasure
from app.devices import sold as room
from app.devices.erasure import Erased, Erasure
from app.devices.sold import Trade
from app.privacy import held as export

_names = click.argument("names", nargs=-1, required=True, metavar="NAME…")


@click.command()
@_names
@click.option("--returned", is_flag=True, help="They came back.")
@click.option("--at", callback=options.moment, metavar="TIME", help="When; now, if it is left out.")
@options.as_json
@options.acting
def sold(names: tuple[str, ...], returned: bool, at: datetime | None, as_json: bool) -> None:
    """Tell that devices, by IMEI or serial, were sold to customers: no incident claims them by itself from then on.

    \b
    Examples
      $ imei-gateway sold 490154203237518 R58M1A0002
      $ imei-gateway sold 490154203237518 --returned
    """
    said = Trade(*_sorted(names), at)
    source = f"{'return' if returned else 'sale'}:{uuid4()}"
    found = desk.change(
        lambda conn, actor, now: room.trade(conn, actor, said, sold=not returned, source=source, now=now)
    )
    if as_json:
        show.json(found)
        return
    became = "not sold any more" if returned else "sold"
    show.say(f"{found.recorded:,} told of; {found.changed:,} are {became} by it.")
    _say_unknown(found.unknown)


@click.command()
@click.argument("name")
@options.acting
def held(name: str) -> None:
    """Print all that is held on one device, by its number or an IMEI, as JSON. That you read it is on the audit log.

    \b
    Example
      $ imei-gateway held 490154203237518 > device.json
    """
    show.json(desk.change(lambda conn, actor, now: export.held(conn, actor, name, now)))


@click.command()
@_names
@click.option("--reason", required=True, help="Why; it stays on the record.")
@options.as_json
@options.acting
def erase(names: tuple[str, ...], reason: str, as_json: bool) -> int | None:
    """Forget whose sold devices are, where they stood and how they came. What an incident holds is kept, and what
    nobody told was sold ('sold'); exit code 3 where something is.

    \b
    Example
      $ imei-gateway erase 490154203237518 --reason "Asked by the customer, ticket 4711"
    """
    said = Erasure(reason, *_sorted(names))
    found = desk.change(lambda conn, actor, now: erasure.erase(conn, actor, said, now))
    if as_json:
        show.json(found)
    else:
        _print_erased(found)
    return 3 if found.kept or found.unknown else None


def _print_erased(found: Erased) -> None:
    show.say(f"{show.count(found.erased, 'device')} erased, and {show.count(found.sightings, 'sighting')}.")
    for one in found.kept:
        show.say(f"{one.name} is kept: {one.detail}", "yellow")
    _say_unknown(found.unknown)


def _sorted(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are IMEIs, and the others, which are serials."""
    imeis = tuple(name for name in names if imei.certain(name))
    return imeis, tuple(name for name in names if name not in imeis)


def _say_unknown(unknown: list[str]) -> None:
    if unknown:
        show.say(f"Nobody registered {', '.join(map(imei.shown, unknown))}.", "red", stderr=True)
