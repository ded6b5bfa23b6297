"""The process that answers S13: it listens, looks after its connections, and says farewell to them when it is told to
end. A process of its own, so that peers and the API do not hold up each other; run as many as you need.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from app.access import keys
from app.access.quotas import Quotas
from app.blocklist.lookout import Lookout
from app.core import log
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Pool, open_pool
from app.core.errors import Unavailable
from app.s13 import peers
from app.s13.connection import Connection, House
from app.s13.crowd import Crowd
from app.s13.questions import Questions
from app.s13.seldom import Seldom

# Connections: two ask; one takes of quotas, and one writes down who has asked.
LOOK_UPS, POOL_SIZE = 2, 2
_NAME = "imei-gateway-s13"
# Seconds for a statement: longer than a peer waits.
STATEMENT = 5.0
# Seconds for peers to take leave, for the last bytes, and for the database.
FAREWELL, LAST_BYTES, CLOSE_WITHIN = 2.0, 0.5, 0.5
_MOMENT = 0.02
BACKLOG = 512

_LOG = log.get("s13")


def house(settings: Settings, look_ups: Pool, pool: Pool, lookout: Lookout) -> House:
    """What connections share. Raises Invalid where a setting does not allow to answer anybody."""
    now = int(time.time())
    return House(
        ours=peers.identity(settings, now),
        peers=peers.read(settings),
        unknown=settings.unknown_equipment,
        questions=Questions(look_ups, Quotas(pool, time.monotonic), settings.quota, lookout),
        crowd=Crowd(),
        open=set(),
        warnings=Seldom(_LOG),
        numbers=_numbers(now),
    )


def _numbers(now: int) -> Iterator[int]:
    """They begin with the time, so that those of a process that was started again are others (RFC 6733 clause 3)."""
    begin = (now << 20 | secrets.randbits(20)) & 0xFFFFFFFF
    return (number & 0xFFFFFFFF for number in itertools.count(begin))


async def run(settings: Settings, says: Callable[[str], None]) -> None:
    """Answers on `settings.database_url`, which must be migrated, until it is cancelled; `says` is told the address."""
    opened = partial(open_pool, settings.database_url, command_timeout=STATEMENT, application_name=_NAME)
    pool, look_ups = await opened(size=POOL_SIZE), await opened(size=LOOK_UPS, look_ups=True)
    lookout, stopping = Lookout(pool, utc_now), asyncio.Event()
    writing = asyncio.create_task(lookout.run(stopping))
    try:
        await _serve(settings, house(settings, look_ups, pool, lookout), pool, says)
    finally:
        stopping.set()
        with suppress(Exception):
            await asyncio.wait_for(writing, CLOSE_WITHIN)
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_WITHIN):
                await asyncio.gather(pool.close(), look_ups.close())
        pool.terminate()
        look_ups.terminate()


async def _serve(settings: Settings, shared: House, pool: Pool, says: Callable[[str], None]) -> None:
    server = await listening(settings, shared)
    host, port = server.sockets[0].getsockname()[:2]
    _LOG.info("s13.started", host=host, port=port, origin_host=shared.ours.host, peers=len(shared.peers))
    try:
        await _warn_of_keys(shared, pool)
        says(f"{host}:{port}")
        await _look_after(shared)
    finally:
        server.close()
        await say_farewell(shared)
        _LOG.info("s13.stopped")


async def listening(settings: Settings, shared: House) -> asyncio.Server:
    """Takes connections from now on. Raises Unavailable where the address cannot be had."""
    try:
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(shared), settings.s13_host, settings.s13_port, backlog=BACKLOG
        )
    except OSError as error:
        # A name that cannot be resolved has a negative number.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Unavailable(
            f"Cannot listen on {settings.s13_host}:{settings.s13_port}: {why}. Choose another with --host and"
            " --port, or stop what listens there.",
            "port-taken",
        ) from None


async def _look_after(shared: House) -> None:
    while True:
        await asyncio.sleep(1)
        now = asyncio.get_running_loop().time()
        for connection in [*shared.open]:
            connection.look(now)


async def _warn_of_keys(shared: House, pool: Pool) -> None:
    """A key that was mistyped shuts its peer out, which nobody would see here."""
    async with pool.acquire(timeout=10) as conn:
        live = await keys.acting(conn, {peer.key_id for peer in shared.peers.values()})
    for peer in shared.peers.values():
        if peer.key_id not in live:
            _LOG.warning("s13.key_unknown", peer=peer.host, key_id=peer.key_id)


async def say_farewell(shared: House) -> None:
    """What was asked is answered, and whoever does not take leave in time is left."""
    for connection in [*shared.open]:
        connection.leave()
    await _all_gone(shared, FAREWELL)
    for connection in [*shared.open]:
        connection.give_up()
    await _all_gone(shared, LAST_BYTES)


async def _all_gone(shared: House, within: float) -> None:
    for _ in range(int(within / _MOMENT)):
        if not shared.open:
            return
        await asyncio.sleep(_MOMENT)
