"""Goods-in from the command line: a file is registered, and says of every rejected row why."""

from __future__ import annotations

import csv
import hashlib
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec
import rich_click as click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.failures import ROWS_REJECTED
from app.core.clock import utc_now
from app.core.db import Connection, Pool, transaction
from app.devices import register as devices
from app.devices.intake import Defaults, Format, guess, read
from app.devices.register import Receipt, Verdict

SHOWN = 10
_PAGE = 10_000
_BLOCK = 1024 * 1024
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Goods(msgspec.Struct, frozen=True):
    """A submission at hand: it can be read again, and its lines were counted."""

    source: BinaryIO
    format: Format
    defaults: Defaults
    digest: bytes
    lines: int


@click.command()
@click.argument("file", type=click.File("rb"), metavar="FILE")
@click.option("--site", default="", help="The site of rows that name none.")
@click.option("--owner", default="", help="The owner of rows that name none.")
@click.option("--currency", default="", help="The currency of rows that name none, such as EUR.")
@click.option(
    "--format", "form", type=click.Choice([form.value for form in Format]), help="Else it is guessed."
)
@click.option("--rejects", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="OUT.csv",
              help="Write every rejection to a CSV file.")  # fmt: skip
@options.as_json
@options.acting
def register(
    *,
    file: BinaryIO,
    site: str,
    owner: str,
    currency: str,
    form: str | None,
    rejects: Path | None,
    as_json: bool,
) -> int | None:
    """Register the devices of a goods-in FILE (CSV, NDJSON or JSON; - is standard input).

    Rows that are right are registered although others are not; the same file sent again changes nothing.
    Exit code 3 if some rows were rejected.

    \b
    Examples
      $ imei-gateway register goods-in.csv --site "Paris Nord" --rejects rejected.csv
      $ zcat goods-in.csv.gz | imei-gateway register - --json
    """
    goods = _goods(file, form, Defaults(site, owner, currency))
    receipt, first = desk.on_pool(lambda pool, actor: _register(pool, actor, goods, rejects, not as_json))
    if as_json:
        show.json({**msgspec.structs.asdict(receipt), "rejections": first})
    else:
        _print(receipt, first, rejects)
    return ROWS_REJECTED if receipt.rejected else None


def _goods(file: BinaryIO, form: str | None, defaults: Defaults) -> Goods:
    source = _rereadable(file)
    digest, lines = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        lines += block.count(b"\n")
    source.seek(0)
    found = Format(form) if form else guess(file.name, "", source.read(4096))
    return Goods(source, found, defaults, digest.digest(), lines)


def _rereadable(file: BinaryIO) -> BinaryIO:
    """A pipe is kept aside: a registration that meets another one is run again from its start."""
    if file.seekable():
        return file
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
    while block := file.read(_BLOCK):
        kept.write(block)
    kept.seek(0)
    return kept


async def _register(
    pool: Pool, actor: Principal, goods: Goods, rejects: Path | None, bars: bool
) -> tuple[Receipt, list[Verdict]]:
    now = utc_now()
    with _bar(bars) as bar:
        task = bar.add_task("Reading rows", total=goods.lines or None)

        def on_rows(rows: int) -> None:
            done = rows >= goods.lines - 1
            bar.update(task, completed=rows, description="Registering devices" if done else "Reading rows")

        async def work(conn: Connection) -> Receipt:
            goods.source.seek(0)
            rows, source = read(goods.source, goods.format, goods.defaults), f"cli:{goods.format}"
            return await devices.register(
                conn, actor, rows, source=source, digest=goods.digest, now=now, on_rows=on_rows
            )

        receipt = await transaction(pool, work, also=devices.MET_ANOTHER)
    async with pool.acquire() as conn:
        if rejects:
            await _write(conn, actor, receipt, rejects)
        number = receipt.receipt_id
        return receipt, await devices.findings(conn, actor, number, rejected=True, after=0, limit=SHOWN)


def _bar(shown: bool) -> Progress:
    parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(
        *parts, TimeElapsedColumn(), console=show.console(stderr=True), transient=True, disable=not shown
    )


async def _write(conn: Connection, actor: Principal, receipt: Receipt, path: Path) -> None:
    after = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("line", "field", "value", "code", "sentence"))
        while page := await devices.findings(
            conn, actor, receipt.receipt_id, rejected=True, after=after, limit=_PAGE
        ):
            rows.writerows(
                (it.line, it.field, _harmless(it.value), it.code, _harmless(it.sentence)) for it in page
            )
            after = page[-1].finding


def _harmless(text: str) -> str:
    """A spreadsheet runs a cell that begins like a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _print(receipt: Receipt, first: list[Verdict], rejects: Path | None) -> None:
    names = ("rows", "registered", "unchanged", "rejected", "warnings")
    show.draw(
        show.facts(
            [("receipt", str(receipt.receipt_id)), *((it, f"{getattr(receipt, it):,}") for it in names)]
        )
    )
    if not first:
        return
    rows = [(f"{it.line:,}", it.code, it.sentence) for it in first]
    show.draw("", show.table("Why rows were rejected", ("#line", "code", "sentence"), rows))
    if rejects:
        show.say(f"All of them are in {rejects}.")
    elif receipt.rejected > SHOWN:
        show.say("These are the first; --rejects OUT.csv writes all of them.")
