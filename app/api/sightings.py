"""Sightings over HTTP: reported by repair channels, read by the owner's people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api.allowance import Allowance
from app.api.notes import Notes
from app.api.once import Once
from app.api.receipts import Cursor, Limit
from app.api.status import Identifier, Unit, unit_of
from app.blocklist import sightings
from app.blocklist.ask import key_of
from app.blocklist.sightings import Reported, Sighting, Wanted
from app.core.clock import AHEAD
from app.core.db import Connection
from app.core.errors import Flaw, Invalid, told
from app.core.reach import Sight
from app.core.visible import is_visible

MOST = 1000


class SightingReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device that was seen: by an IMEI, or by its GTIN and serial; when (now, if it is left out), and where."""

    imei: Identifier | None = None
    serial: Unit | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    place: Annotated[str, msgspec.Meta(max_length=200, description="A shop, a town, a country.")] = ""
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class SightingReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 devices that were seen."""

    sightings: Annotated[tuple[SightingReport, ...], msgspec.Meta(min_length=1, max_length=MOST)]


class Taken(msgspec.Struct, frozen=True):
    """How many of them were taken down: those that are registered here, or claimed."""

    taken: int


class SightingPage(msgspec.Struct, frozen=True):
    """Sightings by number; `next` is the cursor of the next page, null on the last."""

    sightings: list[Sighting]
    next: str | None


@post(
    "/",
    operation_id="reportSightings",
    status_code=200,
    summary="Report devices that were seen",
    request_max_body_size=2**20,
    opt=Notes(needs=Permission.SIGHTINGS_WRITE).opt,
)
async def report(
    said: NamedDependency[SightingReports],
    asker: NamedDependency[Principal],
    allowance: NamedDependency[Allowance],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Taken]:
    """A repair desk, a shop or a carrier says that it has a device before it. What is claimed by an incident alerts its
    manager; what is registered and not claimed alerts too. What nobody knows here is not kept. If anything in the
    request cannot be right, nothing is."""
    await allowance.spend(len(said.sightings) - 1)
    reports = _read(said.sightings, now)

    async def work(conn: Connection) -> Taken:
        return Taken(await sightings.report(conn, asker, reports, now))

    return await once(work)


@get("/", operation_id="listSightings", summary="Who asked about stolen devices, and about stock")
async def search(
    *,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
    incident: Annotated[int | None, QueryParameter(ge=1, description="Of devices of this incident.")] = None,
    imei: Annotated[str | None, QueryParameter(description="Of this IMEI: 14, 15 or 16 digits.")] = None,
    in_stock: Annotated[
        bool, QueryParameter(description="Of devices that should be in stock, alone.")
    ] = False,
    limit: Limit = 100,
    after: Cursor = 0,
) -> SightingPage:
    """Somebody from outside asked about an identifier that an incident claims, or about a device that should still be
    in stock: it arrived, was not seen to leave, and its site tells what leaves it. Or he reported one."""
    wanted = Wanted(incident, None if imei is None else key_of(imei), in_stock)
    async with sight.acquire() as conn:
        found = await sightings.listed(conn, actor, wanted, after=after, limit=limit, now=now)
    return SightingPage(found, str(found[-1].id) if len(found) == limit else None)


def _read(said: tuple[SightingReport, ...], now: datetime) -> list[Reported]:
    flaws: list[Flaw] = []
    reports = [_each(one, f"/sightings/{place}", now, flaws) for place, one in enumerate(said)]
    if flaws:
        raise Invalid(told(flaws, "{} things in these reports cannot be right."), flaws[0].code, tuple(flaws))
    return [one for one in reports if one is not None]


def _each(one: SightingReport, at: str, now: datetime, flaws: list[Flaw]) -> Reported | None:
    moment = one.at or now
    for field, text in (("place", one.place), ("note", one.note.replace("\n", "").replace("\t", ""))):
        if not is_visible(text):
            sentence = "it would be of characters that show; a note may have line breaks and tabs"
            flaws.append(Flaw(sentence, f"{at}/{field}", "text-control"))
    if moment > now + AHEAD:
        flaws.append(Flaw("the time is ahead of our clock", f"{at}/at", "time-ahead"))
    if (one.imei is None) == (one.serial is None):
        flaws.append(Flaw("it would have an IMEI or a serial, and not both", at, "sighting-unnamed"))
        return None
    try:
        asked = key_of(one.imei) if one.imei is not None else unit_of(one.serial or "")
    except Invalid as error:
        flaws.append(Flaw(error.detail, f"{at}/{'serial' if one.imei is None else 'imei'}", error.code))
        return None
    return Reported(asked, moment, one.place.strip(), one.note.strip())


router = Router("/v1/sightings", route_handlers=[report, search], tags=["Sightings"])
