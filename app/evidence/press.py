"""The process that makes one pack: an order comes on standard input, what was made, or why not, goes out. It yields the
processor to whoever answers."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import msgspec

from app.audit import note
from app.audit.note import PRIVATE
from app.core.db import open_pool
from app.core.errors import GatewayError
from app.core.reach import narrow
from app.evidence.make import MOST_MEMORY, Order, Refused
from app.evidence.pack import Packed, pack

_BACK = 10


async def press(order: Order) -> Packed:
    """Raises what `pack` does."""
    lines = order.keys.splitlines()
    signers = [note.signer(line) for line in lines if line.startswith(PRIVATE)]
    former = [note.verifier(line) for line in lines if not line.startswith(PRIVATE)]
    known = [*(one.verifier for one in signers), *former]
    async with (
        await open_pool(order.database_url, size=1) as pool,
        pool.acquire(timeout=10) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        await narrow(conn, order.actor.reach)
        return await pack(conn, order.actor, order.asked, signers[0], known, Path(order.folder))


def main() -> None:
    os.nice(_BACK)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    said: Packed | Refused
    try:
        said = asyncio.run(press(order))
    except GatewayError as error:
        said = Refused(type(error).__name__, error.detail, error.code)
    sys.stdout.buffer.write(msgspec.json.encode(said))


if __name__ == "__main__":
    main()
