"""The registry, to look into."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Principal
from app.api.receipts import Cursor, Limit
from app.core.reach import Sight
from app.devices.find import Device, Wanted, find


class DevicePage(msgspec.Struct, frozen=True):
    """A page of devices; `next` is the cursor of the next page, null on the last."""

    devices: list[Device]
    next: str | None


@get("/", operation_id="findDevices", summary="Find devices")
async def search(
    *,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
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
    """By exactly one of `imei`, `serial`, `pallet` (SSCC) or `receipt`."""
    async with sight.acquire() as conn:
        wanted = Wanted(imei, serial, pallet, receipt, at)
        found = await find(conn, actor, wanted, after=after, limit=limit)
    return DevicePage(found, str(found[-1].id) if len(found) == limit else None)


router = Router("/v1/devices", route_handlers=[search], tags=["Goods-in"])
