"""Practice partners in the foreground, and optionally as partners of the gateway at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from shlex import quote
from typing import Any

import httpx
import rich_click as click

from app.access.roles import Permission, Principal
from app.cli import desk, ground, options, show
from app.cli.serving import until_told
from app.core.db import Connection
from app.core.errors import Missing, Unavailable
from app.core.keyring import Keyring
from app.delivery import partners
from app.delivery.partners import Limits, Partner
from app.delivery.scope import PartnerScope
from app.sandbox.server import KINDS, Running, run_all

FIRST_PORT = 9401
_FOR = f"for {', '.join(KINDS)}"
_DEFAULT = ",".join(str(FIRST_PORT + place) for place in range(len(KINDS)))


def _ports(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, int]:
    texts = value.split(",")
    if len(texts) > len(KINDS) or not all(text.isdecimal() and int(text) < 2**16 for text in texts):
        raise click.BadParameter(f"it would be up to {len(KINDS)} ports, {_FOR}; 0 takes a free one.")
    return dict(zip(KINDS, map(int, texts), strict=False))


@click.command()
@click.option(
    "--ports",
    callback=_ports,
    metavar="PORTS",
    default=_DEFAULT,
    show_default=True,
    help=f"Ports {_FOR}, in this order; only as many partners start as there are ports.",
)
@click.option(
    "--add", "adds", is_flag=True, help="Add them to the gateway as partners, or correct their addresses."
)
@click.option(
    "--gateway", metavar="URL",
    help="Where the gateway answers: knox_guard reports its results there.  [default: where 'up' or 'serve' on"
    " this data directory does]",
)  # fmt: skip
@options.acting
def sandbox(ports: dict[str, int], adds: bool, gateway: str | None) -> None:
    """Start one practice partner of each kind: real servers that remember what they are told, and that can
    be ordered to fail. They run until Ctrl-C.

    \b
    Examples
      $ imei-gateway sandbox --add
      $ curl http://127.0.0.1:9401/sandbox
      $ curl -X PUT http://127.0.0.1:9401/sandbox/faults -d '{"fail_rate": 0.3}'
    """
    base = _reached(gateway) if adds else ""
    running = run_all(ports=ports, kinds=tuple(ports))
    try:
        if adds:
            _join(running, base)
        _print(running, adds)
        until_told(_forever())
    finally:
        for one in running:
            one.stop()


async def _forever() -> None:
    await asyncio.Event().wait()


def _name(one: Running) -> str:
    return f"practice {one.kind}"


def _reached(gateway: str | None) -> str:
    """The gateway's address, where it must answer: results that are reported nowhere are no practice."""
    base = (gateway or ground.address(desk.settings())).rstrip("/")
    try:
        answer = httpx.get(f"{base}/health/live", trust_env=False, timeout=5)
        lives = answer.status_code == 200 and answer.json() == {"status": "live"}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        lives = False
    if not lives:
        raise Unavailable(
            f"No gateway answers at {base}, where practice partners would report their results. Start it with"
            " 'imei-gateway up', or say with --gateway where it answers.",
            "gateway-away",
        )
    return base


def _join(running: Sequence[Running], base: str) -> None:
    """They become partners; Knox Guard's results come back to the gateway by themselves."""
    keyring = desk.keyring()
    added = desk.change(lambda conn, actor, now: _added(conn, actor, now, keyring, running))
    for one, partner in zip(running, added, strict=True):
        if one.kind == "knox_guard":
            callback = {"url": f"{base}/v1/partners/{partner.id}/confirmations"}
            httpx.put(f"{one.url}/sandbox/callback", json=callback, trust_env=False).raise_for_status()


async def _added(
    conn: Connection, actor: Principal, now: datetime, keyring: Keyring, running: Sequence[Running]
) -> list[Partner]:
    actor.require(Permission.PARTNERS_WRITE)
    return [await _one_added(conn, actor, now, keyring, one) for one in running]


async def _one_added(
    conn: Connection, actor: Principal, now: datetime, keyring: Keyring, one: Running
) -> Partner:
    said: dict[str, Any] = {"keyring": keyring, "now": now, "settings": one.settings, "allow_private": True}
    try:
        known = await partners.named(conn, _name(one))
    except Missing:
        number = await partners.add(
            conn, name=_name(one), adapter=one.kind, scope=PartnerScope(), limits=Limits(), **said
        )
        return await partners.remember(conn, "partner.added", number, actor, now)
    await partners.change(conn, known, **said)
    return await partners.remember(conn, "partner.changed", known.id, actor, now)


def _print(running: Sequence[Running], added: bool) -> None:
    rows = [(_name(one), one.settings["url"], f"{one.url}/sandbox") for one in running]
    show.draw(show.table("", ("practice partner", "is told at", "is ordered at"), rows))
    if not added:
        show.say("\nAdd them with --add, or one by one:")
        for one in running:
            pairs = " ".join(f"--setting {quote(f'{name}={value}')}" for name, value in one.settings.items())
            click.echo(
                f'  imei-gateway partner add "{_name(one)}" --adapter {one.kind} --allow-private {pairs}'
            )
    show.say("They run until Ctrl-C; GET /sandbox says what each was told.")
