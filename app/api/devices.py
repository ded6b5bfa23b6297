"""The registry, to look into; what was sold, came back or is to be forgotten; and all that is held on one device."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import uuid4

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.api.once import Once
from app.api.receipts import Cursor, Limit
from app.core.db import Pool
from app.core.reach import Sight
from app.devices import erasure, sold
from app.devices.erasure import Erased, Erasure
from app.devices.find import Device, Wanted, find
from app.devices.sold import Trade, Traded
from app.privacy.held import Held, held

_TRADES = Notes(needs=Permission.RECEIPTS_WRITE).opt
_MOST = 2**20


class DevicePage(msgspec.Struct, frozen=True):
    """A page of devices; `next` is the cursor of the next page, null on the last."""

    devices: list[Device]
    next: str | None


@get("/", operation_id="findDevices", summary="Find devices")
async def search(
    *,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
    imei: Annotated[str | None, QueryParameter(description="14, 15 or 16 digits.")] = None,
    serial: Annotated[
        str | None, QueryParameter(description="As it is, or with its GTIN: (01)…(21)….")
    ] = None,
    pallet: Annotated[
        str | None, QueryParameter(description="An SSCC of 18 digits; with what is in its cartons.")
    ] = None,
    receipt: Annotated[int | None, QueryParameter(ge=1, le=2**63 - 1)] = None,
    at: Annotated[
        datetime | None, QueryParameter(description="With `pallet`: what it held at that moment.")
    ] = None,
    limit: Limit = 1000,
    after: Cursor = 0,
) -> DevicePage:
    """By exactly one of `imei`, `serial`, `pallet` (SSCC) or `receipt`. Whose a sold device is, is somebody's own: that
    somebody has read it is on the audit log."""
    async with sight.acquire() as conn:
        wanted = Wanted(imei, serial, pallet, receipt, at)
        found = await find(conn, actor, wanted, after=after, limit=limit, now=now)
    return DevicePage(found, str(found[-1].id) if len(found) == limit else None)


@post(
    "/sold",
    operation_id="sellDevices",
    status_code=200,
    summary="Tell what was sold to customers",
    request_max_body_size=_MOST,
    opt=_TRADES,
)
async def sell(
    said: NamedDependency[Trade],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Traded]:
    """No incident claims them from then on, unless it says `include_sold`; what one holds already stays blocked, and
    its manager is alerted. Events tell the same: the business step retail_selling, or the disposition retail_sold."""
    source = f"sale:{uuid4()}"
    return await once(lambda conn: sold.trade(conn, actor, said, sold=True, source=source, now=now))


@post(
    "/returned",
    operation_id="returnDevices",
    status_code=200,
    summary="Tell what came back from customers",
    request_max_body_size=_MOST,
    opt=_TRADES,
)
async def take_back(
    said: NamedDependency[Trade],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Traded]:
    """They are stock again. Events tell the same: they are received, or their disposition is returned."""
    source = f"return:{uuid4()}"
    return await once(lambda conn: sold.trade(conn, actor, said, sold=False, source=source, now=now))


@post(
    "/erase",
    operation_id="eraseDevices",
    status_code=200,
    summary="Forget whose sold devices are",
    request_max_body_size=_MOST,
    opt=Notes(needs=Permission.DEVICES_ERASE).opt,
)
async def erase(
    said: NamedDependency[Erasure],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Erased]:
    """Of sold devices: their owner, site, pallets, movements, receipts, and who asked about them. What an incident
    holds is kept, and so is whether they are blocked; each that is kept comes with its reason."""
    return await once(lambda conn: erasure.erase(conn, actor, said, now))


@get(
    "/{device:str}/held",
    operation_id="exportDevice",
    summary="All that is held on one device",
    opt=Notes(missing="There is no such device.", needs=Permission.INCIDENTS_READ).opt,
)
async def export(
    device: FromPath[str],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> Held:
    """By its number, or by an IMEI of 14 to 16 digits. Who has read it is on the audit log."""
    async with pool.acquire(timeout=10) as conn, conn.transaction(isolation="repeatable_read"):
        return await held(conn, actor, device, now)


router = Router("/v1/devices", route_handlers=[search, sell, take_back, erase, export], tags=["Goods-in"])
