"""The desk at which commands are typed, on a database of each test's own."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from app.access import keys
from app.access.roles import Role
from app.core.db import Connection

from .command import Commands


@pytest.fixture
async def desk(database: str, conn: Connection) -> Commands:
    said = {"name": "Dock 4", "role": Role.ADMIN, "by": "tests", "now": datetime.now(UTC)}
    made = await keys.create(conn, **said, random=secrets.token_bytes)
    return Commands({"DATABASE_URL": database, "IMEI_GATEWAY_KEY": made.key})
