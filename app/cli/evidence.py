"""Evidence packs from the command line: made, and checked as whoever gets one checks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import rich_click as click

from app.cli import desk, ending, ground, options, outfile, show
from app.cli.failures import AUDIT_FAULT
from app.cli.options import Number
from app.core.clock import utc_now
from app.core.db import open_pool
from app.evidence import verify as checking
from app.evidence.asked import Asked, For
from app.evidence.make import Made, Packs


@click.group()
def evidence() -> None:
    """Evidence packs: all that is to be proven of an incident, in one signed file.

    \b
    Example
      $ imei-gateway evidence make 7 --for police -o incident-7.zip
    """


@evidence.command()
@click.argument("incident_id", metavar="INCIDENT", type=Number("an incident"))
@click.option(
    "--for",
    "to",
    type=click.Choice([one.value for one in For]),
    default="police",
    show_default=True,
    help="Who is to have it.",
)
@click.option("--partner", type=click.IntRange(1), help="Which partner, with --for partner.")
@click.option("--owner", help="Only the devices of this owner.")
@click.option("-o", "--output", "path", required=True, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
              help="The file to write; - is standard output.")  # fmt: skip
@options.acting
def make(incident_id: int, to: str, partner: int | None, owner: str | None, path: Path) -> None:
    """Make the evidence pack of INCIDENT. That it was made is on the audit log.

    \b
    Examples
      $ imei-gateway evidence make 7 -o incident-7.zip
      $ imei-gateway evidence make 7 --for insurer --owner Retailer -o claim.zip
    """
    settings, key = desk.settings(), options.key()

    async def run() -> Made:
        async with (
            ground.database(settings) as found,
            await open_pool(found.database_url, size=2, application_name="imei-gateway-cli") as pool,
        ):
            async with pool.acquire() as conn:
                actor = await ground.principal(conn, settings, key)
            signing = ground.with_audit_keys(settings)
            keyed = msgspec.structs.replace(signing, database_url=found.database_url)
            return await Packs(pool, keyed, utc_now).make(actor, Asked(incident_id, For(to), partner, owner))

    made = ending.run(run())
    try:
        with outfile.written(path) as out, made.path.open("rb") as file:
            shutil.copyfileobj(file, out)
    finally:
        made.remove()
    if not outfile.is_stdout(path):
        show.say(f"{path}: {made.packed.size:,} bytes, SHA-256 {made.packed.sha256}")


@evidence.command()
@click.argument("pack", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "keys", multiple=True, metavar="KEY",
              help="The log's key, as 'audit key' prints it, or a witness's; may be given several times.")  # fmt: skip
def verify(pack: Path, keys: tuple[str, ...]) -> int | None:
    """Check a pack, with no gateway and no network. Exit code 5 if it is not true, 3 if only the key that it names
    itself vouches for it.

    \b
    Example
      $ imei-gateway evidence verify incident-7.zip --key "$(cat key-from-the-telephone.txt)"
    """
    ended: int = checking.run(str(pack), keys, lambda text: click.echo(text, nl=False))  # type: ignore[no-untyped-call]
    return AUDIT_FAULT if ended == checking.FALSE else ended or None
