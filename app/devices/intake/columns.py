"""Which field a column means: by the sender's own mapping, or by what such columns are usually called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from unicodedata import normalize

import msgspec

from app.core.errors import Flaw, Invalid
from app.core.imei import shown
from app.devices.intake import names, spreadsheet

IMEI = "imei"
UNREAD = "-"
SINGLE = tuple(names.FIELDS)
# They come with rows that were given back for fixing, and say nothing of the device.
REJECT_COLUMNS = ("reject_code", "reject_sentence")

_FIELDS = (IMEI, *SINGLE, UNREAD)
_DIGITS = re.compile("[0-9]+")
_MOST_LISTED = 400


def plain(name: str) -> str:
    """A column's name without case, accents, spaces and punctuation; of signs alone, the signs."""
    letters = "".join(char for char in normalize("NFKD", name) if char.isalnum()).casefold()
    return letters or spreadsheet.bare(name)


def _each(synonyms: str) -> list[str]:
    return [plain(name) for line in synonyms.strip().splitlines() for name in line.split("|")]


_IMEI_NAMES = frozenset(_each(names.IMEI))
_SYNONYMS = {field: tuple(dict.fromkeys(_each(synonyms))) for field, synonyms in names.FIELDS.items()}
_VERDICT = frozenset(map(plain, REJECT_COLUMNS))


class Mapped(msgspec.Struct, frozen=True):
    """What the sender says of columns: the field that each means, by its name. Those that are `optional` need not
    be there: a supplier's mapping is used for all that the supplier sends."""

    columns: dict[str, str] = {}
    optional: frozenset[str] = frozenset()


class Places(NamedTuple):
    """Where each field stands among columns; `verdict` and `unread` are columns that nobody misses, and `lacking`
    the names of optional ones that are not there. `meant`: the mapping speaks of some that are."""

    imeis: list[int]
    fields: dict[str, int]
    verdict: list[int]
    unread: list[int]
    lacking: list[str]
    meant: bool
    flaws: list[Flaw]


def placed(header: Sequence[str], mapped: Mapped) -> Places:
    """The places of the fields under a header; `flaws` tell where the mapping does not fit it."""
    columns = mapped.columns
    found = defaultdict[str, list[int]](list)
    for place, name in enumerate(map(plain, header)):
        found[name].append(place)
    meant = {name: found.pop(plain(name), []) for name in columns}
    verdict = [place for name in _VERDICT for place in found.pop(name, ())]
    by_field = {field: [name for name in columns if columns[name] == field] for field in _FIELDS}
    taken = {field: [place for name in mapped for place in meant[name]] for field, mapped in by_field.items()}
    usual = [place for name in found if _DIGITS.sub("", name) in _IMEI_NAMES for place in found[name]]
    fields = {field: places[0] for field in SINGLE if (places := taken[field] or _usual(field, found))}
    missing = [name for name, places in meant.items() if not places]
    lacking = [name for name in missing if name in mapped.optional]
    flaws = [*_missing([name for name in missing if name not in lacking], header), *_repeated(header, taken)]
    return Places(
        sorted(taken[IMEI] + usual), fields, verdict, taken[UNREAD], lacking, any(meant.values()), flaws
    )


def _usual(field: str, found: Mapping[str, list[int]]) -> list[int]:
    return next((found[name] for name in _SYNONYMS[field] if name in found), [])


def _missing(names: Sequence[str], header: Sequence[str]) -> Iterator[Flaw]:
    has = shown(", ".join(name.strip() for name in header if name.strip()), _MOST_LISTED)
    for place, name in enumerate(names):
        # What the file has is said once.
        rest = "" if place else f"; it has: {has}"
        yield _flaw(f"The file has no column '{shown(name)}'{rest}.", "column-missing")


def _repeated(header: Sequence[str], taken: Mapping[str, list[int]]) -> Iterator[Flaw]:
    for field in SINGLE:
        if len(taken[field]) > 1:
            yield _several(field, [header[place] for place in taken[field]])


def _several(field: str, mapped: Sequence[str]) -> Flaw:
    listed = ", ".join(f"'{shown(name)}'" for name in mapped[:10])
    sentence = f"The columns {listed} would all be the {field}; a device has one, so name one column."
    return _flaw(sentence, "column-repeated")


def read_columns(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A mapping of columns' names to fields: imei, serial, gtin, pallet, site, owner, model,
    unit_value, currency, or - for a column that is not read. Several columns may be imei.

    Raises Invalid `columns-wrong` with every flaw. Whether a file has the columns, `read` finds out.
    """
    columns: dict[str, str] = {}
    flaws: list[Flaw] = []
    for name, field in pairs:
        meant = field.strip().lower()
        if problem := _problem(name, meant, columns):
            flaws.append(problem)
        columns[name] = meant
    for field in SINGLE:
        mapped = [name for name, meant in columns.items() if meant == field]
        if len(mapped) > 1:
            flaws.append(_several(field, mapped))
    refuse(flaws)
    return columns


def _problem(name: str, field: str, columns: Mapping[str, str]) -> Flaw | None:
    if not name.strip():
        return _flaw("A column has no name; take the one in the file's header.", "column-nameless")
    if plain(name) in map(plain, columns):
        sentence = f"The column '{shown(name)}' is named twice; case, spaces and punctuation do not count."
        return _flaw(sentence, "column-named-twice")
    if field not in _FIELDS:
        sentence = (
            f"The column '{shown(name)}' would be '{shown(field)}', which is no field;"
            f" the fields are {', '.join(_FIELDS[:-1])}, and {UNREAD} for a column that is not read."
        )
        return _flaw(sentence, "column-field-unknown")
    return None


def _flaw(sentence: str, code: str) -> Flaw:
    return Flaw(sentence, "columns", code)


def refuse(flaws: Sequence[Flaw]) -> None:
    """Raises Invalid `columns-wrong` where there are flaws."""
    if flaws:
        raise Invalid(" ".join(flaw.detail for flaw in flaws), "columns-wrong", tuple(flaws))
