"""The desk at which commands are typed, on a database of each test's own."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from app.access import keys
from app.access.roles import Role
from app.core.db import Connection
from app.core.keyring import new_key

from .command import Commands


@pytest.fixture
async def desk(database: str, conn: Connection) -> Commands:
    said = {"name": "Dock 4", "role": Role.ADMIN, "by": "tests", "now": datetime.now(UTC)}
    made = await keys.create(conn, **said, random=secrets.token_bytes)
    settings = {"IMEI_GATEWAY_SECRETS_KEY": new_key(secrets.token_bytes), "IMEI_GATEWAY_KEY": made.key}
    return Commands({"DATABASE_URL": database, **settings})
