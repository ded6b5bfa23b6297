"""Writes audit entries, in the transaction that they describe: both stand, or neither does.

Owns the form of an entry's body. Entries get no order here (that would make all business transactions wait
for each other); the sealer orders them afterwards. Never hand in a secret: nothing is ever taken out again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.core.sql import queries

FORM = 1
MOST_REASON = 1000
MOST_BYTES = 65_535
"""What an entry may have, for its length is two bytes wherever it is handed out (C2SP tlog-tiles)."""

_SQL = queries("audit")
_ENCODER = msgspec.json.Encoder(order="deterministic")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def reason(text: str) -> str:
    """A person's reason, as it stays on the record. Raises Invalid where there is none, or a very long one."""
    text = text.strip()
    if not text or len(text) > MOST_REASON or "\x00" in text:
        raise Invalid(
            f"A reason is wanted, of at most {MOST_REASON:,} characters; it stays on the record.",
            "reason-missing",
            (Flaw(f"1 to {MOST_REASON:,} characters", "/reason"),),
        )
    return text


class Entry(msgspec.Struct, frozen=True):
    """What happened (`incident.approved`), to what (`incident:7`), by whom (a principal's label), when."""

    kind: str
    subject: str
    actor: str
    at: datetime
    detail: Mapping[str, Any] = {}


def body(entry: Entry) -> str:
    """The canonical JSON that is stored and hashed: sorted keys, no spaces, `at` in UTC with microseconds. It may be
    too large for the log."""
    if entry.at.tzinfo is None:
        raise ValueError(f"the time of the audit entry {entry.kind} has no time zone")
    fields = {
        "v": FORM,
        "kind": entry.kind,
        "subject": entry.subject,
        "actor": entry.actor,
        "at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "detail": entry.detail,
    }
    text = _ENCODER.encode(fields).decode()
    if "\\u0000" in text and _NUL.search(text):
        raise Invalid(
            f"A text in {entry.kind} of {entry.subject!r} holds the character NUL, which no text may.", "nul"
        )
    return text


async def record(conn: Connection, entries: Sequence[Entry]) -> None:
    """Writes all entries in one statement; ids follow their order."""
    if entries:
        await conn.execute(_SQL.record, [_fitted(entry) for entry in entries])


def _fitted(entry: Entry) -> str:
    """Of a detail that the log cannot hold, its size and hash: what was done must not fail for it."""
    text = body(entry)
    if len(text) * 4 <= MOST_BYTES or (size := len(text.encode())) <= MOST_BYTES:
        return text
    known = {"too_large": size, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return body(msgspec.structs.replace(entry, detail=known))
