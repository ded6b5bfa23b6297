"""Movements and pallets over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import uuid4

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.core.reach import Sight
from app.devices import moves, pallets
from app.devices.moves import Move, Moved
from app.devices.pallets import Reconciliation


class Movements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What moved, in the order in which it is to be read."""

    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1, max_length=10_000)]


@post(
    "/v1/movements",
    operation_id="moveDevices",
    summary="Move devices between pallets",
    request_max_body_size=body.SCOPE,
    opt=Notes(needs=Permission.RECEIPTS_WRITE).opt,
    tags=["Goods-in"],
)
async def move(
    said: NamedDependency[Movements],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Moved]:
    """Movements may be told late: a device stands where the latest one, by `at`, has put it, and what a pallet
    held at an earlier moment stays known. A goods-in file says where a device stood before its first movement,
    whatever its time; an announced device that arrives on another pallet has moved there at that moment. Names that
    nobody registered are listed, and the others are moved; if anything in the request cannot be right, nothing is.
    `at` may be up to five minutes ahead, as clocks are."""
    source = f"movement:{uuid4()}"
    return await once(lambda conn: moves.move(conn, actor, said.moves, source=source, now=now))


@get(
    "/v1/pallets/{sscc:str}",
    operation_id="reconcilePallet",
    summary="What was announced on a pallet, and what came",
    tags=["Goods-in"],
)
async def reconciliation(
    sscc: FromPath[str], actor: NamedDependency[Principal], sight: NamedDependency[Sight]
) -> Reconciliation:
    """Devices that were announced for it and are missing, that came on another pallet, and that came on it
    without having been announced; what is in its cartons is on it. Who receives an SSCC does not say what is on it:
    devices arrive by a goods-in file, or by an event that receives them by name."""
    async with sight.acquire() as conn:
        return await pallets.reconcile(conn, actor, sscc)


router = Router("/", route_handlers=[move, reconciliation])
