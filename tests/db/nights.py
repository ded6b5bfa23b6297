"""A night's decisions on a real database, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.access.roles import Principal, Role
from app.blocklist import golden
from app.blocklist.ask import look_up
from app.blocklist.standing import Status
from app.core.db import Pool, transaction
from app.incidents import decide
from app.incidents.guards import Bounds, Submission
from app.incidents.incident import Incident
from app.incidents.scope import Scope

ADMIN = Principal("ada", "Ada", Role.ADMIN)


class Night:
    def __init__(self, pool: Pool, manager: Principal, approver: Principal, now: datetime) -> None:
        self.pool, self.manager, self.approver, self.now = pool, manager, approver, now
        self.bounds = Bounds()

    async def draft(self, include_sold: bool = False, **scope: Any) -> decide.Drafted:
        said = decide.Draft(title="Paris", scope=Scope(**scope), include_sold=include_sold)
        return await transaction(
            self.pool, lambda conn: decide.draft(conn, self.manager, said, self.now, self.bounds)
        )

    async def submit(self, number: int, **said: Any) -> Incident:
        return await transaction(
            self.pool,
            lambda conn: decide.submit(conn, self.manager, number, self.now, Submission(**said), self.bounds),
        )

    async def approve(self, number: int) -> Incident:
        return await transaction(
            self.pool, lambda conn: decide.approve(conn, self.approver, number, self.now)
        )

    async def theft(self, **scope: Any) -> int:
        number = (await self.draft(**scope)).id
        await self.submit(number, acknowledged=("size", "sites"))
        await self.approve(number)
        return number

    async def withdraw(self, number: int) -> Incident:
        return await transaction(
            self.pool, lambda conn: decide.withdraw(conn, self.manager, number, "a mistake", self.now)
        )

    async def golden(self, *digits: str) -> list[str]:
        said = golden.Additions(digits, "test bench 4")
        return await transaction(self.pool, lambda conn: golden.add(conn, ADMIN, said, self.now))

    async def status(self, number: str) -> Status:
        async with self.pool.acquire() as conn:
            found = await look_up(conn, [int(number[:14])])
        return found.of(int(number[:14])).status


def cells(text: str, column: int) -> list[str]:
    """One column of a goods-in CSV without its header."""
    return [line.split(",")[column] for line in text.splitlines()]
