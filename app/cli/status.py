"""What carriers are told about an IMEI, asked from the command line."""

from __future__ import annotations

import rich_click as click

from app.access.roles import Permission, Principal
from app.blocklist.ask import Found, Standing, key_of, look_up
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

    async def work(conn: Connection, actor: Principal) -> Found:
        actor.require(Permission.STATUS_READ)
        return await look_up(conn, sorted(set(keys)))

    found = desk.read(work)
    answers = [(text, found.of(key)) for text, key in zip(imeis, keys, strict=True)]
    if as_json:
        show.json(
            {
                "as_of": found.as_of,
                "results": [{"imei": text, **_fields(standing)} for text, standing in answers],
            }
        )
        return
    rows = [
        (
            text,
            show.state(it.status),
            show.moment(it.since),
            it.reason or "",
            it.reference or "",
            str(it.version),
        )
        for text, it in answers
    ]
    show.draw(show.table("", ("IMEI", "status", "since", "why", "carriers quote", "#version"), rows))


def _fields(standing: Standing) -> dict[str, object]:
    return {name: getattr(standing, name) for name in Standing.__struct_fields__}
