"""The keys that partners' secrets are sealed with: a new one is made, and what is stored is sealed anew."""

from __future__ import annotations

import secrets as chance
from functools import partial

import rich_click as click

from app.access import people
from app.access.roles import Permission, Principal
from app.cli import desk, options, show
from app.core.clock import utc_now
from app.core.db import Connection, Pool, transaction
from app.core.errors import GatewayError
from app.core.keyring import Keyring, new_key
from app.delivery import partners
from app.delivery.partners import Partner
from app.delivery.reseal import reseal
from app.proposals import proposal


@click.group()
def secrets() -> None:
    """The keys that partners' passwords, tokens and private keys are sealed with in the database.

    \b
    Example
      $ imei-gateway secrets new-key
    """


@secrets.command("new-key")
@options.as_json
def new_key_(as_json: bool) -> None:
    """Print a fresh key. It needs no gateway, and changes nothing.

    Put it first into IMEI_GATEWAY_SECRETS_KEY, or into the file that IMEI_GATEWAY_SECRETS_KEY_FILE names
    ('up' makes one, secrets.key of the data directory); keep the old keys after it until 'secrets rotate' is done.

    \b
    Example
      $ imei-gateway secrets new-key
    """
    made = new_key(chance.token_bytes)
    if as_json:
        show.json({"key": made})
    else:
        click.echo(made)


@secrets.command()
@options.as_json
@options.acting
def rotate(as_json: bool) -> int | None:
    """Seal all secrets with the first key: partners', those too that were stored before there were keys, second
    factors, and what waits for approval.

    Partners are told meanwhile. Exit code 1 where secrets cannot be opened; the others are sealed.

    \b
    Example
      $ imei-gateway secrets rotate
    """
    keyring = desk.keyring()
    number = keyring.first
    sealed, failed = desk.on_pool(lambda pool, actor: _rotate(pool, actor, keyring))
    others, failed_too = desk.on_pool(lambda pool, actor: _others(pool, keyring))
    failed |= failed_too
    if as_json:
        show.json({"key": number, "sealed": sealed, **others, "failed": failed})
    else:
        factors, proposals = others["second_factors"], others["proposals"]
        show.say(f"{show.count(len(sealed), 'partner')} sealed anew with the key {number}.")
        show.say(f"Also {show.count(factors, 'second factor')} and {show.count(proposals, 'proposal')}.")
        for name, why in failed.items():
            show.say(f"{name}: {why}", "red", stderr=True)
    return 1 if failed else None


async def _others(pool: Pool, keyring: Keyring) -> tuple[dict[str, int], dict[str, str]]:
    """How many of each were sealed anew, and why others could not be."""
    counts: dict[str, int] = {}
    failed: dict[str, str] = {}
    for name, seal in (("second_factors", people.reseal), ("proposals", proposal.reseal)):
        try:
            counts[name] = await transaction(pool, partial(seal, keyring=keyring))
        except GatewayError as error:
            counts[name], failed[name] = 0, error.detail
    return counts, failed


async def _rotate(pool: Pool, actor: Principal, keyring: Keyring) -> tuple[list[str], dict[str, str]]:
    """The names of the partners whose secrets were sealed anew, and why those of others could not be."""
    actor.require(Permission.PARTNERS_WRITE)
    async with pool.acquire() as conn:
        everyone = await partners.everyone(conn)
    sealed: list[str] = []
    failed: dict[str, str] = {}
    for one in everyone:
        try:
            if await _one(pool, actor, keyring, one):
                sealed.append(one.name)
        except GatewayError as error:
            failed[one.name] = error.detail
    return sealed, failed


async def _one(pool: Pool, actor: Principal, keyring: Keyring, one: Partner) -> bool:
    async def work(conn: Connection) -> bool:
        return await reseal(conn, one.id, keyring, actor, utc_now())

    return await transaction(pool, work)
