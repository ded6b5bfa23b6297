"""What an incident is about, as options: pallets, receipts, IMEIs and serials, by name or from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from app.cli.options import NUMBER, lines
from app.incidents.scope import Scope

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_OPTIONS = (
    click.option("--pallet", multiple=True, metavar="SSCC", help="A pallet; may be given many times."),
    click.option(
        "--pallets", type=_FILE, metavar="FILE", help="A file of SSCCs, one a line; - is standard input."
    ),
    click.option("--receipt", type=NUMBER, multiple=True, metavar="NUMBER", help="All devices of a receipt."),
    click.option(
        "--imei", multiple=True, metavar="IMEI", help="An IMEI; its device comes with all of its IMEIs."
    ),
    click.option("--imeis", type=_FILE, metavar="FILE", help="A file of IMEIs, one a line."),
    click.option("--serial", multiple=True, metavar="SERIAL", help="A serial number."),
    click.option("--serials", type=_FILE, metavar="FILE", help="A file of serial numbers, one a line."),
)


def named(command: Decorated) -> Decorated:
    """The options that name a scope; `scope` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def scope(
    *,
    pallet: tuple[str, ...],
    pallets: Path | None,
    receipt: tuple[int, ...],
    imei: tuple[str, ...],
    imeis: Path | None,
    serial: tuple[str, ...],
    serials: Path | None,
) -> Scope:
    """The scope that the options name; what is wrong with it, the room says."""
    return Scope(
        pallets=pallet + lines(pallets),
        receipts=receipt,
        imeis=imei + lines(imeis),
        serials=serial + lines(serials),
    )
