"""Somebody who asks from outside, and the process that notes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from app.access.roles import Principal
from app.alerts import alert
from app.alerts.alert import Alert
from app.blocklist import sightings
from app.blocklist.ask import look_up
from app.blocklist.lookout import Lookout, Via
from app.blocklist.sightings import GRACE, Sighting, Wanted
from app.core.db import transaction
from app.devices import presence
from app.devices.naming import Name
from app.incidents import decide
from app.incidents.scope import Scope

API = Via("api")
SECOND = timedelta(seconds=1)


class World:
    """One web process's lookout, an asker from outside, and a clock."""

    def __init__(
        self, pool: Any, now: datetime, carrier: Principal, reader: Principal, approver: Principal
    ) -> None:
        self.pool, self.now, self.carrier, self.reader, self.approver = pool, now, carrier, reader, approver
        self.lookout = Lookout(pool, lambda: self.now)

    async def asks(self, *numbers: str, by: Principal | None = None, via: Via = API) -> None:
        asked = [int(number[:14]) for number in numbers]
        async with self.pool.acquire() as conn:
            found = await look_up(conn, sorted(set(asked)))
        self.lookout.saw_many(by or self.carrier, via, asked, found)

    async def theft(self, *imeis: str, approved: bool = True) -> int:
        said = decide.Draft(title="Paris", scope=Scope(imeis=imeis))
        number = (await transaction(self.pool, lambda c: decide.draft(c, self.reader, said, self.now))).id
        await transaction(self.pool, lambda conn: decide.submit(conn, self.reader, number, self.now))
        if approved:
            await transaction(self.pool, lambda conn: decide.approve(conn, self.approver, number, self.now))
        return number

    async def sees(self, alert_id: int) -> bool:
        return await transaction(self.pool, lambda conn: alert.see(conn, self.reader, alert_id, self.now))

    async def sightings(self, **wanted: Any) -> list[Sighting]:
        await self.lookout.write()
        async with self.pool.acquire() as conn:
            return await sightings.listed(conn, self.reader, Wanted(**wanted), limit=1000, now=self.now)

    async def alerts(self) -> list[Alert]:
        async with self.pool.acquire() as conn:
            return await alert.listed(conn, self.reader, seen=False)

    async def judged(self, later: timedelta = GRACE + SECOND) -> list[Alert]:
        self.now += later
        await transaction(self.pool, lambda conn: sightings.judge(conn, self.now))
        return await self.alerts()

    async def leaves(self, *devices: int, seconds: int = 1) -> None:
        async with self.pool.acquire() as conn:
            at = self.now + seconds * SECOND
            imeis = await conn.fetch("SELECT keys[1] FROM device WHERE device_id = ANY ($1)", devices)
            await presence.left(conn, [Name(row[0]) for row in imeis], [], at)
