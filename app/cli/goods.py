"""Goods-in from the command line: a file is registered, and says of every rejected row why."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec
import rich_click as click

from app.access.roles import Principal
from app.cli import desk, options, receipt, rejects, rows, show
from app.cli.failures import ROWS_REJECTED
from app.cli.receipt import Findings
from app.cli.rejects import RejectFile
from app.core.clock import utc_now
from app.core.db import Connection, Pool
from app.core.errors import GatewayError, Invalid, Unavailable
from app.core.reach import Sight
from app.devices import mappings
from app.devices import register as devices
from app.devices.incoming import opened
from app.devices.intake import Defaults, Format, guess, read_columns, read_defaults
from app.devices.mappings import ColumnMapping
from app.devices.receipts import Receipt, ReceiptKind, Terms

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
    keeps: bool
    """Whether the supplier's mapping is to have these columns from now on."""


class Done(msgspec.Struct, frozen=True):
    """What came of it; the supplier's mapping as it was saved, and the names that come near to the supplier's."""

    found: Findings
    saved: ColumnMapping | None
    alike: list[str]


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
@click.option(
    "--save-mapping", is_flag=True,
    help="Add what --map says to the supplier's mapping, once a row of the file was taken.",
)  # fmt: skip
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
@rejects.option
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
    rejects_to: Path | None,
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
        _check_saving(terms.supplier, mapping, columns)
    out = RejectFile(rejects_to) if rejects_to else None
    if out:
        out.spare(file)
    defaults = read_defaults(site=site, owner=owner, currency=currency)
    sent = _sent(file, form, defaults, terms, mapping, columns, save_mapping)
    if out:
        out.must_fit(sent.format)
    done = desk.on_pool(lambda pool, actor: _register(pool, actor, sent, out, not as_json))
    if as_json:
        done.found.as_json(mapping_saved=done.saved, similar_mappings=done.alike)
    else:
        _tell(done, sent, out)
    return ROWS_REJECTED if done.found.receipt.rejected else None


def _pair(text: str) -> tuple[str, str]:
    name, equals, field = text.rpartition("=")
    if not equals:
        raise click.BadParameter(
            f"'{text}' would be COLUMN=FIELD, as in 'Handset ID=imei'.", param_hint="--map"
        )
    return name, field


def _check_saving(supplier: str, mapping: str, columns: dict[str, str]) -> None:
    if not supplier:
        raise click.UsageError("--save-mapping keeps the mapping under the name of --supplier; name one.")
    if not columns:
        raise click.UsageError("--save-mapping keeps what --map says; say what a column means.")
    if mapping not in ("", supplier):
        raise click.UsageError(
            f"--save-mapping adds to the mapping of {supplier}, and --mapping reads the file by another one; leave"
            " one of them out."
        )


def _sent(
    file: BinaryIO, form: str | None, defaults: Defaults, terms: Terms, mapping: str, columns: dict[str, str],
    keeps: bool,
) -> Sent:  # fmt: skip
    source = rereadable(file)
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    while block := source.read(_BLOCK):
        digest.update(block)
        lines += block.count(b"\n")
        last = block[-1:]
    lines += last != b"\n"
    source.seek(0)
    head = source.read(4096)
    found = Format(form) if form else guess(file.name, "", head)
    terms = msgspec.structs.replace(terms, source=f"cli:{found}", digest=digest.digest())
    return Sent(source, found, defaults, terms, rows.expected(found, head, lines), mapping, columns, keeps)


def rereadable(file: BinaryIO) -> BinaryIO:
    """A pipe is kept aside: a registration that meets another one is run again from its start."""
    if file.seekable():
        return file
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
    while block := file.read(_BLOCK):
        kept.write(block)
    kept.seek(0)
    return kept


async def _register(pool: Pool, actor: Principal, goods: Sent, out: RejectFile | None, bars: bool) -> Done:
    now, supplier = utc_now(), goods.terms.supplier
    sight = Sight(pool, actor.reach)
    async with sight.acquire() as conn:
        alike = await mappings.alike(conn, actor, supplier) if not goods.mapping else []
    with rows.counted(goods.rows, show.console(stderr=True), shown=bars) as on_rows:

        async def work(conn: Connection) -> tuple[Receipt, ColumnMapping | None]:
            columns = await mappings.chosen(
                conn, actor, name=goods.mapping, supplier=supplier, own=goods.columns
            )
            async with opened(goods.source, goods.format, goods.defaults, columns) as incoming:
                made = await devices.register(conn, actor, incoming, goods.terms, now=now, on_rows=on_rows)
            keeps = goods.keeps and made.rejected < made.rows
            return made, await mappings.add(conn, actor, supplier, goods.columns, now) if keeps else None

        try:
            made, saved = await sight.transaction(work, also=devices.MET_ANOTHER)
        except GatewayError as error:
            raise _advised(error, goods, alike) from None
    async with sight.acquire() as conn:
        found = await receipt.findings(conn, actor, made)
    if out:
        await out.write(pool, actor, made)
    return Done(found, saved, alike)


def _advised(error: GatewayError, goods: Sent, alike: list[str]) -> GatewayError:
    """A refusal, and how to go on from here."""
    said = [error.detail]
    if isinstance(error, devices.Unusual):
        said.append(f"If that is right: --confirm {_number(goods)}.")
    if isinstance(error, Invalid) and alike:
        said.append(mappings.unlike(goods.terms.supplier, alike))
    # Where a connection is lost in the last moment, nobody knows.
    if goods.keeps and not isinstance(error, Unavailable):
        said.append("The mapping was not saved.")
    return type(error)(" ".join(said), error.code, error.flaws)


def _number(goods: Sent) -> str:
    if goods.rows is None:
        return "ROWS, with its number of rows"
    return str(goods.rows - (goods.format is Format.CSV))


def _tell(done: Done, goods: Sent, out: RejectFile | None) -> None:
    supplier = goods.terms.supplier
    receipt.tell(done.found, out)
    if done.alike:
        show.say(mappings.unlike(supplier, done.alike))
    if done.saved:
        named = ", ".join(f"'{column}' is {field}" for column, field in done.saved.columns.items())
        show.say(f"The mapping of {supplier} was saved: {named}.")
    elif goods.keeps:
        show.say(f"The mapping of {supplier} was not saved, for every row was rejected.")
    if out:
        unsaved = goods.keeps and not done.saved and goods.format is not Format.DESADV
        rejects.tell(out, *(["--save-mapping"] if unsaved else []))
