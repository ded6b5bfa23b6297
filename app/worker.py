"""The background process: the delivery engine, the asking of partners, the sealer of the audit log, the captures of
events, the filter of the block list and the removal of what is kept no longer, until it is told to stop."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

from app.access import lockout, oidc, quotas, sessions, tokens
from app.adapters import registry
from app.audit import signing
from app.audit.note import Signer
from app.audit.seal import seal
from app.blocklist import enumeration, feed, sightings
from app.blocklist.filter import renewed
from app.core import keyring, log, watchdog
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Connection, Pool, open_pool, transaction
from app.delivery import asking, engine, tls, witnesses
from app.delivery.contacts import Contacts
from app.delivery.partners import Partner
from app.delivery.progress import WORKER
from app.delivery.send import Desk, Terms
from app.delivery.tls import Tls
from app.delivery.wire import HttpWire
from app.devices import erasure
from app.devices.register import MET_ANOTHER
from app.epcis import capture
from app.epcis.carry import Carry
from app.incidents import emergency
from app.incidents.tidings import carry as carried
from app.proposals import decide
from app.replies.reply import forget

POOL_SIZE = 12
SEAL_EVERY = 1.0
CAPTURE_EVERY = 0.2
# It is made once a minute at most; this is how often that is looked at.
FILTER_EVERY = 1.0
FORGET_EVERY = 60.0
JUDGE_EVERY = 10.0
REMIND_EVERY = 60.0
# A batch of a thousand devices, and a rest.
ERASE_EVERY = 5.0
CLOSE_WITHIN = 5.0
# A capture of ten thousand events that must all be stored, or none, on a slow machine.
LONGEST_TRANSACTION = 300.0

_LOG = log.get("worker")


async def run(
    settings: Settings,
    stopping: asyncio.Event | None = None,
    carry: Carry = carried,
    terms: Terms | None = None,
) -> None:
    """Works on `settings.database_url` until `stopping` is set or the process is told to end. `carry` carries out
    what captured events mean; `terms` are those of its leases and calls."""
    stopping = stopping or stop_on_signals()
    terms = terms or Terms(patience=settings.park_after_days * 86_400.0)
    wire = partial(_wire, settings.files_root, terms.deadline)
    contacts = Contacts(wire, keyring.load(settings, secrets.token_bytes))
    signers, watching = signing.load(settings).signers, signing.witnesses(settings)
    pool = await open_pool(
        settings.database_url,
        size=POOL_SIZE,
        longest_transaction=LONGEST_TRANSACTION,
        application_name=WORKER,
    )
    desk = Desk(pool, contacts, utc_now, random.random, stopping, terms)
    for kind, wrong in registry.broken().items():
        _LOG.error("adapter.broken", adapter=kind, wrong=wrong)
    _LOG.info("worker.started", slots=settings.worker_slots)
    try:
        with watchdog.watched():
            await asyncio.gather(
                *_tasks(desk, settings, signers, carry), witnesses.run(pool, watching, utc_now, stopping)
            )
    finally:
        await _closed(contacts, pool)
        _LOG.info("worker.stopped")


def _tasks(desk: Desk, settings: Settings, signers: Sequence[Signer], carry: Carry) -> list[Awaitable[None]]:
    """All that a worker does, side by side."""
    repeated = partial(_again_and_again, desk.pool, stopping=desk.stopping)
    captures = partial(_capture, carry)
    return [
        engine.run(desk, settings.worker_slots),
        asking.run(desk),
        repeated(partial(_seal, signers), SEAL_EVERY),
        repeated(captures, CAPTURE_EVERY, also=MET_ANOTHER, hindered=_capture_hindered),
        repeated(_judge, JUDGE_EVERY),
        repeated(_remind, REMIND_EVERY),
        repeated(renewed, FILTER_EVERY),
        repeated(_forget, FORGET_EVERY),
        repeated(_forget_enumeration, FORGET_EVERY),
        repeated(tokens.forget, FORGET_EVERY),
        repeated(sessions.forget, FORGET_EVERY),
        repeated(lockout.forget, FORGET_EVERY),
        repeated(oidc.forget, FORGET_EVERY),
        repeated(quotas.forget, FORGET_EVERY),
        repeated(partial(_forget_changes, timedelta(days=settings.feed_days)), FORGET_EVERY),
        *_erasing(settings, repeated),
        repeated(partial(_forget_sightings, timedelta(days=settings.sighting_days)), FORGET_EVERY),
    ]


async def _closed(contacts: Contacts, pool: Pool) -> None:
    """Lets go of everything, in `CLOSE_WITHIN` seconds twice: a connection that somebody died over in the middle of a
    transaction is never given back."""
    for close in (contacts.close, pool.close):
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await close()
        except Exception as error:  # whatever it is, who ends must end
            _LOG.warning("worker.not_closed", error=repr(error))
    pool.terminate()


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _wire(files_root: str, deadline: float, partner: Partner) -> HttpWire:
    return HttpWire(
        deadline=deadline,
        connections=partner.limits.max_inflight,
        tls=tls.context(Tls(**partner.tls)),
        allow_private=partner.allow_private,
        files_root=files_root,
    )


async def _seal(signers: Sequence[Signer], conn: Connection) -> int:
    return await seal(conn, utc_now(), signers=signers)


async def _capture(carry: Carry, conn: Connection) -> int:
    return await capture.work(conn, carry, utc_now())


async def _capture_hindered(conn: Connection) -> None:
    await capture.hindered(conn, utc_now())


async def _forget(conn: Connection) -> int:
    return await forget(conn, utc_now())


async def _remind(conn: Connection) -> int:
    return await emergency.remind(conn, utc_now()) + await decide.remind(conn, utc_now())


async def _judge(conn: Connection) -> int:
    return await sightings.judge(conn, utc_now())


async def _forget_sightings(kept: timedelta, conn: Connection) -> int:
    return await sightings.forget(conn, utc_now() - kept)


def _erasing(settings: Settings, repeated: Callable[..., Awaitable[None]]) -> list[Awaitable[None]]:
    """Nothing is erased by itself unless it is set when."""
    kept = timedelta(days=settings.sold_days)
    return [repeated(partial(_erase, kept), ERASE_EVERY)] if kept else []


async def _erase(kept: timedelta, conn: Connection) -> int:
    """One batch; the next one after a rest."""
    now = utc_now()
    if count := await erasure.erase_old(conn, now - kept, now):
        _LOG.info("devices.erased", devices=count)
    return 0


async def _forget_enumeration(conn: Connection) -> int:
    return await enumeration.forget(conn, utc_now())


async def _forget_changes(kept: timedelta, conn: Connection) -> int:
    return await feed.forget(conn, utc_now() - kept)


async def _again_and_again(
    pool: Pool,
    work: Callable[[Connection], Awaitable[int]],
    every: float,
    *,
    stopping: asyncio.Event,
    also: tuple[type[Exception], ...] = (),
    hindered: Callable[[Connection], Awaitable[None]] | None = None,
) -> None:
    """Repeats `work` until it finds nothing more to do, then every so often; a last time at the end. For `also`
    see `transaction`; `hindered` is called when `work` has failed, as far as the database is there."""
    last = False
    while True:
        try:
            while await transaction(pool, work, also=also):
                pass
        except Exception as error:  # a database that is away is waited for, not died of
            _LOG.warning("worker.step_failed", error=repr(error))
            if hindered is not None:
                with suppress(Exception):
                    await transaction(pool, hindered, attempts=1)
        if last:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), every)
        last = stopping.is_set()
