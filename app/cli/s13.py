"""The command that answers Diameter S13. It needs a library that only this does: the extra `s13`."""

from __future__ import annotations

from importlib.util import find_spec

import rich_click as click

from app.cli import ground, options
from app.cli.serving import until_told
from app.core.config import Settings
from app.core.errors import Unavailable


@click.command()
@click.option("--host", help="The address to listen on. [env: IMEI_GATEWAY_S13_HOST]  [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 takes a free one. [env: IMEI_GATEWAY_S13_PORT]  [default: 3868]",
)
@options.located
def s13(host: str | None, port: int | None) -> None:
    """Answer the ME-Identity-Checks of 4G and 3G cores (Diameter S13, 3GPP TS 29.272), until told to end.

    Each peer is named in IMEI_GATEWAY_S13_PEERS with the id of the API key that it asks with; who we are, in
    IMEI_GATEWAY_S13_ORIGIN_HOST and IMEI_GATEWAY_S13_ORIGIN_REALM. Diameter has no proof of who somebody is: let
    only the signalling network reach this address. It needs the extra s13, from a checkout: pip install '.[s13]'

    \b
    Example
      $ imei-gateway s13 --host 10.16.17.5 --database-url postgresql://gateway@db.internal/gateway
    """
    if find_spec("diameter") is None:
        raise _not_installed()
    until_told(_answer(options.settings(s13_host=host, s13_port=port)))


def _not_installed() -> Unavailable:
    return Unavailable(
        "Diameter S13 needs the library python-diameter, which is not installed; it comes with"
        " the extra s13, from a checkout: pip install '.[s13]'.",
        "s13-not-installed",
    )


async def _answer(settings: Settings) -> None:
    from app.s13 import node, peers

    # A setting that is wrong ends it here, before a database is started for nothing.
    peers.identity(settings, 0)
    peers.read(settings)
    async with ground.database(settings) as found:
        await node.run(found, lambda address: click.echo(f"IMEI gateway answers Diameter S13 at {address}"))
