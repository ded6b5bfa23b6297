"""The reject file: rejected rows as they came, with why, ready to be fixed and sent again.

CSV under the submission's own header, or NDJSON where its rows were JSON objects. The two columns (fields) that
are added are not read when the file comes in again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from app.core.db import Connection, Pool
from app.devices import receipts
from app.devices.intake import harmless
from app.devices.receipts import Rejected

CODE, SENTENCE = "reject_code", "reject_sentence"

_PAGE = 2_000
_FIELDS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def written(pool: Pool, receipt_id: int, columns: Sequence[str]) -> AsyncIterator[bytes]:
    """The file in parts; no connection is held while somebody reads slowly."""
    if columns:
        yield _csv([[*map(harmless, columns), CODE, SENTENCE]])
    after = 0
    while page := await _page(pool, receipt_id, after):
        yield _csv([_row(each, len(columns)) for each in page]) if columns else b"".join(map(_object, page))
        after = page[-1].reject


async def _page(pool: Pool, receipt_id: int, after: int) -> list[Rejected]:
    async with pool.acquire(timeout=10) as conn:
        found: Connection = conn
        return await receipts.rejects(found, receipt_id, after=after, limit=_PAGE)


def _row(reject: Rejected, width: int) -> list[str]:
    cells = [*reject.cells, *[""] * (width - len(reject.cells))]
    return [*map(harmless, cells), " ".join(reject.codes), " ".join(reject.sentences)]


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _object(reject: Rejected) -> bytes:
    """The object with two fields more, its numbers digit by digit as they came; what is no object is given back as
    the text that it is."""
    why: dict[str, Any] = {CODE: " ".join(reject.codes), SENTENCE: " ".join(reject.sentences)}
    said: dict[str, Any] = {"text": reject.cells[0]}
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        said = {**_FIELDS.decode(reject.cells[0])}
    return msgspec.json.encode({**said, **why}) + b"\n"
