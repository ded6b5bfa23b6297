"""The witness of a log: a process on somebody else's machine that signs what grew, and never what was rolled back."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import rich_click as click

from app.audit import note
from app.audit.note import Verifier
from app.cli import options, show
from app.cli.serving import until_told
from app.core import log as logs
from app.core.clock import utc_now
from app.core.errors import GatewayError, Unavailable
from app.witness import memory


class _Key(click.ParamType[Verifier]):
    name = "key"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Verifier:
        try:
            return note.verifier(str(value))
        except GatewayError as error:
            self.fail(error.detail, param, ctx)


_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def witness() -> None:
    """Watch a gateway's audit log from another machine: sign each head of it that the last one grew into.

    Who restores an old copy of the log, or rewrites it, even with all its keys, gets no signature any more.

    \b
    Examples
      $ imei-gateway witness new ./witness --name witness.example.org --log "gateway.example.com/audit+7f…+AX…"
      $ imei-gateway witness run ./witness --port 8480
    """


@witness.command()
@_FOLDER
@click.option("--name", required=True, help="Its name in its signatures, such as witness.example.org.")
@click.option("--log", "known", type=_Key(), multiple=True, required=True,
              help="The verifier key of a log, as 'imei-gateway audit key' prints it there.")  # fmt: skip
@options.as_json
def new(folder: Path, name: str, known: tuple[Verifier, ...], as_json: bool) -> None:
    """Begin a witness in FOLDER, and print the verifier key by which the log knows it.

    \b
    Example
      $ imei-gateway witness new ./witness --name witness.example.org --log "gateway.example.com/audit+7f…+AX…"
    """
    key = memory.made(folder, name, known, secrets.token_bytes).verifier.written()
    if as_json:
        show.json({"key": key})
        return
    click.echo(key)
    show.say(
        "Tell the gateway: IMEI_GATEWAY_WITNESSES is this key, a space, and where the witness answers.",
        stderr=True,
    )


@witness.command()
@_FOLDER
@click.argument("key", type=_Key())
def trust(folder: Path, key: Verifier) -> None:
    """Watch a further log, or know a further KEY of one that is watched. A running witness is to be started again.

    \b
    Example
      $ imei-gateway witness trust ./witness "gateway.example.com/audit+0a…+AX…"
    """
    memory.trust(folder, key)
    click.echo(f"The witness knows {key.name} by this key from its next start on.")


@witness.command()
@_FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8480, show_default=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
def run(folder: Path, host: str, port: int) -> None:
    """Answer logs that ask for signatures, until told to end. Put a proxy with TLS before it on an open network.

    \b
    Example
      $ imei-gateway witness run ./witness --host 10.0.0.9
    """
    logs.set_up("info")
    with memory.opened(folder) as mine:
        until_told(_answer(mine, host, port))


async def _answer(mine: memory.Memory, host: str, port: int) -> None:
    from app.witness import server

    try:
        async with server.serving(mine, host, port, utc_now) as url:
            click.echo(f"Witness {mine.signer.verifier.name} answers at {url}")
            click.echo(f"Its key: {mine.signer.verifier.written()}")
            await asyncio.Event().wait()
    except OSError as error:
        raise Unavailable(f"The witness cannot listen on {host}:{port}: {error.strerror or error}.") from None
