"""Brand and model by TAC, from the command line: a database of the user's is imported, TACs are listed and found."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, receipt, show
from app.cli.failures import ERROR, ROWS_REJECTED
from app.cli.goods import rereadable
from app.cli.rejects import absent
from app.core.clock import utc_now
from app.core.db import Connection, Pool, transaction
from app.core.errors import Invalid
from app.devices import tac as tacs
from app.devices.intake import harmless
from app.devices.tac import FindingVerdict, Tac, TacFinding, TacImport
from app.devices.tac_file import TacFile, TacFormat, read

_PAGE = 10_000
_TITLES: dict[FindingVerdict, str] = {
    "rejected": "Why lines were rejected",
    "warning": "What looked odd and was no reason to reject",
    "updated": "What was known otherwise before",
}
_MOST_LISTED = 1_000_000
_Found: TypeAlias = dict[FindingVerdict, list[TacFinding]]


@click.group()
def tac() -> None:
    """Import a TAC database, so that brands and models are known; list and find TACs.

    None comes with the gateway. Osmocom's is free under CC-BY-SA; the GSMA's needs an agreement with the GSMA.

    \b
    Example
      $ imei-gateway tac import tacdb.csv
    """


@tac.command("import")
@click.argument("file", type=click.File("rb"), metavar="FILE")
@click.option("--source", default="", metavar="NAME",
              help="Whose data these are.  [default: osmocom, gsma, or a CSV's file name]")  # fmt: skip
@click.option("--replace", is_flag=True, help="Let this file win where another source says otherwise.")
@click.option("--rejects", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="OUT.csv",
              help="Write every rejection to a CSV file; where there is none, no file.")  # fmt: skip
@options.as_json
@options.acting
def import_(*, file: BinaryIO, source: str, replace: bool, rejects: Path | None, as_json: bool) -> int | None:
    """Import a TAC database from FILE (- is standard input), recognised by its content: Osmocom's TAC DB, the GSMA's
    device database (with pipes), or a CSV with the header tac,brand,model.

    A source may correct what it said itself. What another source says is kept, and only what it leaves empty is
    filled, unless --replace. The same file again changes nothing, and nothing is ever deleted. A TAC has 8 digits; one
    of 7 gets back the leading zero that a spreadsheet dropped; one of 6 (before 2003) needs its FAC behind it or in a
    column FAC. Partners that have brands are told by what is known when the decision is made: orders that were given
    stand, so import before goods-in and before the night comes. Exit code 3 if some lines were rejected. Shows the
    first ten rejections, warnings and changes; with --json, all.

    \b
    Examples
      $ imei-gateway tac import tacdb.csv
      $ imei-gateway tac import devicedb.txt --replace --rejects rejected.csv
    """
    held, digest = _held(file)
    done, found = desk.on_pool(lambda pool, actor: _import(
        pool, actor, held, digest, source=source, name=file.name, replace=replace
    ))  # fmt: skip
    written = _write(found["rejected"], rejects) if rejects else ""
    if as_json:
        lists = {
            "rejections": found["rejected"],
            "warnings_found": found["warning"],
            "updates": found["updated"],
        }
        show.json({**msgspec.structs.asdict(done), **lists})
        return ROWS_REJECTED if done.rejected else None
    show.draw(*_drawn(done, found, rejects))
    if written:
        show.say(written)
    return ROWS_REJECTED if done.rejected else None


def _held(file: BinaryIO) -> tuple[BinaryIO, bytes]:
    held = rereadable(file)
    return held, hashlib.file_digest(held, hashlib.sha256).digest()  # type: ignore[arg-type]


async def _import(
    pool: Pool, actor: Principal, held: BinaryIO, digest: bytes, *, source: str, name: str, replace: bool
) -> tuple[TacImport, _Found]:  # fmt: skip
    now = utc_now()

    async def work(conn: Connection) -> TacImport:
        held.seek(0)
        file = read(held)
        called = source or _name(file, name)
        return await tacs.import_tacs(
            conn, actor, file, source=called, digest=digest, now=now, replace=replace
        )

    done = await transaction(pool, work)
    async with pool.acquire() as conn:
        return done, {verdict: await _all(conn, actor, done, verdict) for verdict in _TITLES}


def _name(file: TacFile, name: str) -> str:
    """A database that is known by its form keeps its name from file to file; a CSV of one's own has its file's."""
    own = file.format is TacFormat.CSV and not name.startswith(("-", "<"))
    return Path(name).name if own else ""


async def _all(
    conn: Connection, actor: Principal, done: TacImport, verdict: FindingVerdict
) -> list[TacFinding]:
    found: list[TacFinding] = []
    after = 0
    while page := await tacs.findings(conn, actor, done.import_id, verdict=verdict, after=after, limit=_PAGE):
        found += page
        after = page[-1].finding
    return found


def _write(found: Sequence[TacFinding], path: Path) -> str:
    if not found:
        return absent(path, "line")
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("line", "field", "value", "code", "sentence"))
        rows.writerows(
            (it.line, it.field, harmless(it.value), it.code, harmless(it.sentence)) for it in found
        )
    return f"The rejections are in {path}."


def _drawn(done: TacImport, found: _Found, rejects: Path | None) -> Iterator[RenderableType]:
    names = ("lines", "imported", "unchanged", "updated", "rejected", "warnings")
    facts = [("source", done.source), *((it, f"{getattr(done, it):,}") for it in names)]
    yield show.facts([*facts, *([("title", done.title)] if done.title else [])])
    for verdict, title in _TITLES.items():
        in_file = f"all of them are in {rejects}" if rejects else "--rejects OUT.csv writes all of them"
        rest = in_file if verdict == "rejected" else "--json lists all of them"
        yield from receipt.first(title, found[verdict], rest)


@tac.command("list")
@click.option("--brand", metavar="BRAND", help="Only TACs of this brand, in any case.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST_LISTED), default=100, show_default=True, help="How many, at most."
)
@options.as_json
@options.acting
def list_(brand: str | None, limit: int, as_json: bool) -> None:
    """List the TACs that are known, with brand, model and source.

    \b
    Example
      $ imei-gateway tac list --brand nokia
    """

    async def work(conn: Connection, actor: Principal) -> list[Tac]:
        return await tacs.known(conn, actor, brand=brand, limit=limit + 1)

    found = desk.read(work)
    if as_json:
        show.json({"tacs": found[:limit]})
        return
    _draw(found[:limit])
    if len(found) > limit:
        show.say(f"These are the first {limit:,}; --limit lists more.")


@tac.command("find")
@click.argument("names", nargs=-1, required=True, metavar="TAC…")
@options.as_json
@options.acting
def find(names: tuple[str, ...], as_json: bool) -> int | None:
    """Say what each TAC (8 digits, or an IMEI) stands for. Exit code 1 if one of them is no TAC; the others are
    answered.

    \b
    Example
      $ imei-gateway tac find 35209900 490154203237518
    """
    wanted, wrong = _asked(names)

    async def work(conn: Connection, actor: Principal) -> list[Tac]:
        return await tacs.known(conn, actor, tacs=wanted, limit=max(1, len(wanted)))

    found = desk.read(work)
    unknown = sorted({f"{it:08d}" for it in wanted} - {it.tac for it in found})
    if as_json:
        show.json({"tacs": found, "unknown": unknown, "wrong": wrong})
        return ERROR if wrong else None
    if found:
        _draw(found)
    if unknown:
        show.say(f"Nothing is known of {', '.join(unknown)}.")
    for sentence in wrong:
        show.say(sentence, "red", stderr=True)
    return ERROR if wrong else None


def _asked(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The TACs that are asked for, and why what else was said is none."""
    wanted: list[int] = []
    wrong: list[str] = []
    for name in names:
        try:
            wanted.append(tacs.asked(name))
        except Invalid as error:
            wrong.append(error.detail)
    return wanted, wrong


def _draw(found: Sequence[Tac]) -> None:
    rows = [(it.tac, it.brand, it.model, it.source, show.moment(it.imported_at)) for it in found]
    show.draw(show.table("", ("TAC", "brand", "model", "source", "imported"), rows))
