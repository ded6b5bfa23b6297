"""Test IMEIs: specimens of each answer, for those who build something that asks. Nobody's device has one, and they
stand in no table, so they are on no list and in no feed: nobody can register or declare them (`imei-test`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from app.blocklist.standing import ReasonClass, Standing, Status
from app.core import imei

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def _key(number: int) -> int:
    return imei.TEST_TAC * 10**6 + number


def _held(status: Status, reason: ReasonClass, reference: str) -> Standing:
    return Standing(status, _SINCE, 1 if status is Status.BLOCKED else 0, reason, reference)


# References are as long as those of incidents, whose digits are hexadecimal: these are none of them.
SPECIMENS: Mapping[int, Standing] = {
    _key(101): _held(Status.BLOCKED, ReasonClass.STOLEN, "IG-TEST00STOLEN"),
    _key(102): _held(Status.BLOCKED, ReasonClass.LOST, "IG-TEST0000LOST"),
    _key(103): _held(Status.BLOCKED, ReasonClass.FRAUD, "IG-TEST000FRAUD"),
    _key(200): _held(Status.SUSPECT, ReasonClass.STOLEN, "IG-TEST0SUSPECT"),
    _key(300): Standing(Status.CLEAR),
    _key(400): Standing(Status.UNKNOWN),
}
