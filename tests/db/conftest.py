"""People and goods that the database tests share."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from app.access import keys
from app.access.roles import Principal, Role
from app.core import imei
from app.core.db import Pool, transaction
from app.devices.incoming import here
from app.devices.intake import Defaults, guess, read
from app.devices.receipts import Receipt, Terms
from app.devices.register import register

from .asking import World

NOW = datetime(2026, 12, 22, 2, 0, tzinfo=UTC)
Registers = Callable[..., Awaitable[Receipt]]


def person(key_id: str, role: Role) -> Principal:
    return Principal(key_id, key_id.title(), role)


@pytest.fixture
def warehouse() -> Principal:
    return person("dock", Role.GOODS_IN)


@pytest.fixture
def manager() -> Principal:
    return person("marie", Role.INCIDENT_MANAGER)


@pytest.fixture
def approver() -> Principal:
    return person("paul", Role.APPROVER)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def phones() -> Callable[[int, int], str]:
    """`phones(start, n)`: lines of a goods-in CSV, one phone with two IMEIs each, ten to a pallet."""

    def lines(start: int, n: int) -> str:
        return "\n".join(_phone(number) for number in range(start, start + n)) + "\n"

    return lines


HEADER = "imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency\n"


def _phone(number: int) -> str:
    first, second = imei.full(35_123456_000001 + 2 * number), imei.full(35_123456_000002 + 2 * number)
    body = f"3{number // 10:016d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body)))
    pallet = f"{body}{-total % 10}"
    return f"{first},{second},SN{number:06d},08806090000003,{pallet},PAR-1,Retailer,Phone X,499.90,EUR"


@pytest.fixture
def registers(pool: Pool, warehouse: Principal, now: datetime) -> Registers:
    """Registers the text of a CSV (its header is put before it where it has none) or of a dispatch advice."""

    async def submit(text: str, **terms: Any) -> Receipt:
        body = (text if text.startswith(("imei", "serial", "UNB")) else HEADER + text).encode(
            "utf-8", "surrogateescape"
        )
        return await transaction(
            pool,
            lambda conn: register(
                conn,
                warehouse,
                here(read(io.BytesIO(body), guess("", "", body), Defaults())),
                Terms("test", hashlib.sha256(body).digest(), **terms),
                now=now,
            ),
        )

    return submit


@pytest.fixture
async def carrier(conn: Any, now: datetime) -> Principal:
    made = await keys.create(
        conn, name="Operator Nord", role="carrier", by="cli", now=now, random=Random(24).randbytes
    )
    return Principal(made.key_id, "Operator Nord", Role.CARRIER)


@pytest.fixture
def world(pool: Any, now: datetime, carrier: Principal, manager: Principal, approver: Principal) -> World:
    return World(pool, now, carrier, manager, approver)
