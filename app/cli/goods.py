"""Goods-in from the command line: a file is registered, and says of every rejected row why."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec
import rich_click as click

from app.access.roles import Principal
from app.cli import desk, options, receipt, rows, show
from app.cli.failures import ROWS_REJECTED
from app.cli.receipt import Findings
from app.core.clock import utc_now
from app.core.db import Connection, Pool, transaction
from app.devices import mappings
from app.devices import register as devices
from app.devices.incoming import opened
from app.devices.intake import Defaults, Format, guess, read_columns, read_defaults
from app.devices.receipts import Receipt, ReceiptKind, Terms
from app.devices.rejects import RejectFormat, file_of

_BLOCK = 1024 * 1024


class Sent(msgspec.Struct, frozen=True):
    """A submission at hand: it can be read again. `rows` is about how many it has, None where nobody can say."""

    source: BinaryIO
    format: Format
    defaults: Defaults
    terms: Terms
    rows: int | None
    mapping: str
    columns: dict[str, str]


@click.command()
@click.argument("file", type=click.File("rb"), metavar="FILE")
@click.option("--site", default="", help="The site of rows that name none.")
@click.option("--owner", default="", help="The owner of rows that name none.")
@click.option("--currency", default="", help="The currency of rows that name none, such as EUR.")
@click.option(
    "--format", "form", type=click.Choice([form.value for form in Format]), help="Else it is guessed."
)
@click.option("--supplier", default="", help="Who sent it: its usual size, and its mapping of columns.")
@click.option(
    "--mapping", default="", metavar="NAME", help="The stored mapping by which its columns are read."
)
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="COLUMN=FIELD",
    help="What a column means: imei, serial, gtin, pallet, site, owner, model, unit_value, currency, or - for"
    " one that is not read. May be given many times.",
)
@click.option("--save-mapping", is_flag=True, help="Keep what --map says for all that the supplier sends.")
@click.option(
    "--announced",
    is_flag=True,
    help="The goods are on their way, as an ASN says; they are registered and arrive later.",
)
@click.option(
    "--declared", type=click.IntRange(0), metavar="ROWS", help="How many rows the file should hold."
)
@click.option(
    "--confirm", type=click.IntRange(0), default=0, metavar="ROWS",
    help="Up to how many rows are wanted, where that is far more than usual.",
)  # fmt: skip
@click.option("--rejects", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="OUT",
              help="Write the rejected rows to a file, to be fixed and sent again; for Excel: OUT.xlsx.")  # fmt: skip
@options.as_json
@options.acting
def register(
    *,
    file: BinaryIO,
    site: str,
    owner: str,
    currency: str,
    form: str | None,
    supplier: str,
    mapping: str,
    pairs: tuple[str, ...],
    save_mapping: bool,
    announced: bool,
    declared: int | None,
    confirm: int,
    rejects: Path | None,
    as_json: bool,
) -> int | None:
    """Register the devices of a goods-in FILE: CSV, XLSX, NDJSON, JSON or DESADV, gzipped or not; - is standard
    input.

    Rows that are right are registered although others are not; the same file sent again changes nothing.
    Exit code 3 if some rows were rejected. Shows the first ten rejections and warnings; with --json, all.
    'receipt' shows them again.

    \b
    Examples
      $ imei-gateway register goods-in.csv --site "Paris Nord" --rejects rejected.csv
      $ imei-gateway register asn.xlsx --announced --supplier ACME --map "Handset ID=imei" --save-mapping
      $ imei-gateway register goods-in.csv.gz --json
    """
    kind = ReceiptKind.ANNOUNCEMENT if announced else ReceiptKind.ARRIVAL
    terms = Terms("cli", b"", kind, supplier.strip(), declared, confirm)
    columns = read_columns(_pair(text) for text in pairs)
    if save_mapping:
        _save(terms.supplier, columns)
    defaults = read_defaults(site=site, owner=owner, currency=currency)
    sent = _sent(file, form, defaults, terms, mapping, columns)
    asked = _asked(rejects, sent.format)
    found = desk.on_pool(lambda pool, actor: _register(pool, actor, sent, rejects, asked, not as_json))
    if as_json:
        found.as_json()
    else:
        show.draw(*receipt.drawn(found))
    if rejects and found.rejections and not as_json:
        show.say(f"The rejected rows are in {rejects}: fix them there, and register that file.")
    return ROWS_REJECTED if found.receipt.rejected else None


def _pair(text: str) -> tuple[str, str]:
    name, equals, field = text.rpartition("=")
    if not equals:
        raise click.BadParameter(
            f"'{text}' would be COLUMN=FIELD, as in 'Handset ID=imei'.", param_hint="--map"
        )
    return name, field


def _save(supplier: str, columns: dict[str, str]) -> None:
    if not supplier:
        raise click.UsageError("--save-mapping keeps the mapping under the name of --supplier; name one.")
    desk.change(lambda conn, actor, now: mappings.save(conn, actor, supplier, columns, now))


def _sent(
    file: BinaryIO, form: str | None, defaults: Defaults, terms: Terms, mapping: str, columns: dict[str, str]
) -> Sent:
    source = rereadable(file)
    digest, lines = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        lines += block.count(b"\n")
    source.seek(0)
    head = source.read(4096)
    found = Format(form) if form else guess(file.name, "", head)
    terms = msgspec.structs.replace(terms, source=f"cli:{found}", digest=digest.digest())
    return Sent(source, found, defaults, terms, rows.expected(found, head, lines), mapping, columns)


def rereadable(file: BinaryIO) -> BinaryIO:
    """A pipe is kept aside: a registration that meets another one is run again from its start."""
    if file.seekable():
        return file
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
    while block := file.read(_BLOCK):
        kept.write(block)
    kept.seek(0)
    return kept


async def _register(
    pool: Pool, actor: Principal, goods: Sent, rejects: Path | None, asked: RejectFormat | None, bars: bool
) -> Findings:
    now = utc_now()
    with rows.counted(goods.rows, show.console(stderr=True), shown=bars) as on_rows:

        async def work(conn: Connection) -> Receipt:
            columns = await mappings.chosen(
                conn, actor, name=goods.mapping, supplier=goods.terms.supplier, own=goods.columns
            )
            async with opened(goods.source, goods.format, goods.defaults, columns) as incoming:
                return await devices.register(conn, actor, incoming, goods.terms, now=now, on_rows=on_rows)

        made = await transaction(pool, work, also=devices.MET_ANOTHER)
    async with pool.acquire() as conn:
        found = await receipt.findings(conn, actor, made)
        file = await file_of(conn, actor, made.receipt_id, asked) if rejects else None
    if rejects and file:
        with rejects.open("wb") as output:
            async for part in file.parts(pool):
                output.write(part)
    return found


def _asked(rejects: Path | None, form: Format) -> RejectFormat | None:
    """The format that the name of a reject file asks for; objects are given back in their own."""
    ending = rejects.suffix.lower().removeprefix(".") if rejects else ""
    if form not in (Format.NDJSON, Format.JSON):
        return RejectFormat(ending) if ending in (RejectFormat.CSV, RejectFormat.XLSX) else None
    if ending == RejectFormat.XLSX:
        text = "JSON objects are given back as such; the file would be named like rejected.ndjson."
        raise click.BadParameter(text, param_hint="--rejects")
    return None
