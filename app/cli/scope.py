"""What an incident is about, as options: pallets, receipts, IMEIs and serials, by name or from files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import rich_click as click

from app.cli.options import Number, moment
from app.core.errors import Flaw, Invalid
from app.incidents.scope import Scope

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_LINES = "one a line; a header, quotes and lines that begin with # are passed over"
_OPTIONS = (
    click.option("--pallet", multiple=True, metavar="SSCC", help="A pallet; may be given many times."),
    click.option(
        "--pallets", type=_FILE, metavar="FILE", help=f"A file of SSCCs, {_LINES}; - is standard input."
    ),
    click.option(
        "--as-of", callback=moment, metavar="MOMENT",
        help="What the pallets held then, as in 2026-12-22T02:00+01:00; else what they hold now.",
    ),
    click.option(
        "--receipt", type=Number("a receipt"), multiple=True, metavar="NUMBER",
        help="All devices of a receipt.",
    ),
    click.option(
        "--imei", multiple=True, metavar="IMEI", help="An IMEI; its device comes with all of its IMEIs."
    ),
    click.option("--imeis", type=_FILE, metavar="FILE", help="A file of IMEIs, like that of --pallets."),
    click.option("--serial", multiple=True, metavar="SERIAL", help="A serial number."),
    click.option(
        "--serials", type=_FILE, metavar="FILE", help="A file of serial numbers, like that of --pallets."
    ),
)  # fmt: skip
_HEADERS = {
    "pallets": re.compile(r"ssccs?|pallets?|palletids?|ssccno|ssccnumber"),
    "imeis": re.compile(r"imeis?[0-9]?|imeino|imeinumber"),
    "serials": re.compile(r"serials?|serialno|serialnos|serialnumbers?|sn"),
}


class Name(NamedTuple):
    """One name of a scope, and where it was given."""

    text: str
    place: str


def named(command: Decorated) -> Decorated:
    """The options that name a scope; `scope` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Places(msgspec.Struct, frozen=True):
    """Where each name was given, by its pointer in what was said."""

    by_pointer: dict[str, str]

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is refused inside is said of the lines of files and of options, as the person wrote them."""
        try:
            yield
        except Invalid as error:
            flaws = tuple(self._placed(flaw) for flaw in error.flaws)
            detail = error.detail
            if len(flaws) == 1 and flaws[0] != error.flaws[0]:
                detail = f"{flaws[0].pointer}: {detail}"
            raise Invalid(detail, error.code, flaws) from None

    def _placed(self, flaw: Flaw) -> Flaw:
        place = self.by_pointer.get(flaw.pointer, flaw.pointer)
        return msgspec.structs.replace(flaw, pointer=place)


def scope(
    *,
    pallet: tuple[str, ...],
    pallets: Path | None,
    as_of: datetime | None = None,
    receipt: tuple[int, ...],
    imei: tuple[str, ...],
    imeis: Path | None,
    serial: tuple[str, ...],
    serials: Path | None,
) -> tuple[Scope, Places]:
    """The scope that the options name, and where each name was given; what is wrong with it, the room says."""
    names = {
        "pallets": [*_given("--pallet", pallet), *_lines("pallets", pallets)],
        "imeis": [*_given("--imei", imei), *_lines("imeis", imeis)],
        "serials": [*_given("--serial", serial), *_lines("serials", serials)],
    }
    texts = {field: tuple(name.text for name in found) for field, found in names.items()}
    places = {
        f"/scope/{field}/{number}": name.place
        for field, found in names.items()
        for number, name in enumerate(found)
    }
    found = Scope(texts["pallets"], receipt, texts["imeis"], texts["serials"], as_of)
    return found, Places(places)


def _given(option: str, texts: tuple[str, ...]) -> list[Name]:
    return [Name(text, option) for text in texts]


def _lines(field: str, path: Path | None) -> Iterator[Name]:
    """The names in a file, one a line; `-` is standard input."""
    if path is None:
        return
    shown = "standard input" if str(path) == "-" else path.name
    first = True
    with click.open_file(str(path), encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            text = _unquoted(line.strip())
            if not text or text.startswith("#"):
                continue
            if not (first and _is_header(field, text)):
                yield Name(text, f"{shown} line {number}")
            first = False


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _is_header(field: str, text: str) -> bool:
    return _HEADERS[field].fullmatch(re.sub(r"[\s_./-]", "", text.lower())) is not None
