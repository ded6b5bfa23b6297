"""What carriers are told about an IMEI, asked from the command line."""

from __future__ import annotations

import rich_click as click
from rich.console import RenderableType

from app.access.roles import Permission, Principal
from app.blocklist.answer import StatusAnswer, told
from app.blocklist.ask import Found, key_of, look_up
from app.blocklist.standing import Standing
from app.cli import desk, options, show
from app.core.db import Connection


@click.command()
@click.argument("imeis", metavar="IMEI...", nargs=-1, required=True)
@options.as_json
@options.acting
def status(imeis: tuple[str, ...], as_json: bool) -> None:
    """Ask what carriers would be told at this moment: blocked, suspect, clear or unknown.

    An IMEI has 14, 15 or 16 digits here; its check digit is not judged, because networks send a 0 there.

    \b
    Examples
      $ imei-gateway status 490154203237518
      $ imei-gateway status --json 490154203237518 352099001761481
    """
    keys = [key_of(text) for text in imeis]

    async def work(conn: Connection, actor: Principal) -> tuple[Found, list[StatusAnswer]]:
        actor.require(Permission.STATUS_READ)
        found = await look_up(conn, sorted(set(keys)))
        return found, [
            StatusAnswer(*told(found.of(key), actor), imei=text)
            for text, key in zip(imeis, keys, strict=True)
        ]

    found, answers = desk.read(work)
    if as_json:
        show.json({"results": answers, "as_of": found.as_of})
        return
    rows = [_row(text, found.of(key)) for text, key in zip(imeis, keys, strict=True)]
    show.draw(show.table("", ("IMEI", "status", "since", "why", "carriers quote", "#version"), rows))


def _row(text: str, it: Standing) -> tuple[RenderableType, ...]:
    why = (it.reason or "", it.reference or "")
    return text, show.state(it.status), show.moment(it.since), *why, str(it.version)
