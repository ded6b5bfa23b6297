"""Stored mappings of columns over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.core.reach import Sight
from app.devices import mappings
from app.devices.mappings import ColumnMapping

_NAMED = Notes(missing="There is no mapping of that name.").opt


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of each column in the file, and the field that it means: imei, serial, gtin, pallet, site, owner,
    model, unit_value, currency, or - for one that is not read."""

    columns: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=100)]


class MappingList(msgspec.Struct, frozen=True):
    mappings: list[ColumnMapping]


@get("/", operation_id="listMappings", summary="List the stored mappings of columns")
async def everyone(actor: NamedDependency[Principal], sight: NamedDependency[Sight]) -> MappingList:
    async with sight.acquire() as conn:
        return MappingList(await mappings.everyone(conn, actor))


@get("/{name:str}", operation_id="readMapping", summary="Read a mapping of columns", opt=_NAMED)
async def one(
    name: FromPath[str], actor: NamedDependency[Principal], sight: NamedDependency[Sight]
) -> ColumnMapping:
    async with sight.acquire() as conn:
        return await mappings.find(conn, actor, name)


@put(
    "/{name:str}",
    operation_id="saveMapping",
    summary="Store a mapping of columns",
    request_max_body_size=body.FEW,
    opt=Notes(needs=Permission.RECEIPTS_WRITE).opt,
)
async def save(
    name: FromPath[str],
    said: NamedDependency[Columns],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[ColumnMapping]:
    """A submission names it by `mapping`; one that bears a supplier's name is used for all that the supplier
    sends."""
    return await once(lambda conn: mappings.save(conn, actor, name, said.columns, now))


@delete(
    "/{name:str}",
    operation_id="forgetMapping",
    summary="Forget a mapping of columns",
    status_code=200,
    opt=_NAMED,
)
async def forget(
    name: FromPath[str],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[ColumnMapping]:
    return await once(lambda conn: mappings.forget(conn, actor, name, now))


router = Router("/v1/mappings", route_handlers=[everyone, one, save, forget], tags=["Goods-in"])
