"""A REST EIR to practise on, in the manner of PyHSS: rows with ids, and a second PUT makes a second row.

Like PyHSS it asks for its key where rows are changed, lists without it, and answers 200 and `null` to the deletion of
a row that is not there.
"""

from __future__ import annotations

import hmac
from itertools import count, islice
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from app.sandbox.ledger import Ledger, State, entry_name
from app.sandbox.stage import Stage, received, refusal, reply


class Row(msgspec.Struct, kw_only=True):
    """A rule; `last_modified` is when it was made."""

    eir_id: int = 0
    imei: str = ""
    imsi: str = ""
    regex_mode: int = 1
    match_response_code: int | None = None
    last_modified: str = ""

    @property
    def blocks(self) -> bool:
        """Whether it blocks one device, with whatever SIM."""
        return self.regex_mode == 0 and not self.imsi and self.match_response_code == 1


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rows` are somebody else's, there from the beginning; `page_size` is how many are listed where nobody says;
    `missing` is the status of a deletion of what is not there."""

    provisioning_key: str = "practice-key"
    rows: list[Row] = msgspec.field(default_factory=list)
    page_size: Annotated[int, msgspec.Meta(ge=1)] = 200
    missing: Literal[200, 404] = 200


class Table:
    """The rows by their ids, in the order in which they were made."""

    def __init__(self, ledger: Ledger, foreign: list[Row]) -> None:
        self._ledger = ledger
        self._foreign = foreign
        self.fill()

    def fill(self) -> None:
        """Back to the beginning: nothing but somebody else's rows."""
        self._rows: dict[int, Row] = {}
        self._holders: dict[str, set[int]] = {}
        self._ids = count(1)
        for row in self._foreign:
            self._put(row)

    def add(self, row: Row, call: str) -> Row:
        made = self._put(row)
        if made.blocks:
            self._ledger.tell(made.imei, State.BLOCKED, call)
        return made

    def page(self, number: int, size: int) -> list[Row]:
        rows = self._rows.values()
        return list(islice(rows, number * size, (number + 1) * size) if size else rows)

    def delete(self, eir_id: str, call: str) -> bool:
        """False where there is no such row. A device is released once no row blocks it."""
        row = self._rows.pop(int(eir_id) if _is_number(eir_id) else 0, None)
        if row is None:
            return False
        holders = self._holders.get(entry_name(row.imei), set())
        holders.discard(row.eir_id)
        if row.blocks and not holders:
            self._ledger.tell(row.imei, State.RELEASED, call)
        return True

    def _put(self, row: Row) -> Row:
        made = msgspec.structs.replace(row, eir_id=next(self._ids))
        self._rows[made.eir_id] = made
        if made.blocks:
            self._holders.setdefault(entry_name(made.imei), set()).add(made.eir_id)
        return made


def install(app: web.Application, stage: Stage, options: Options) -> None:
    table = Table(stage.ledger, options.rows)
    stage.forgets.append(table.fill)

    async def add(request: web.Request) -> web.Response:
        _authorise(request, options)
        row = await received(request, Row)
        fault = stage.misbehaviour.item()
        if fault != "fine":
            kind = "integrity" if fault == "refused" else "operational"
            return reply({"result": "Failed", "reason": f"A database {kind} error occurred: practice"}, 400)
        row.last_modified = f"{stage.now():%Y-%m-%dT%H:%M:%SZ}"
        return reply(table.add(row, _key(request)))

    async def listed(request: web.Request) -> web.Response:
        texts = (request.query.get("page", "0"), request.query.get("page_size", str(options.page_size)))
        if not all(_is_number(text) for text in texts):
            raise refusal("'page' and 'page_size' would be numbers.")
        return reply(table.page(*map(int, texts)))

    async def delete(request: web.Request) -> web.Response:
        _authorise(request, options)
        if table.delete(request.match_info["eir_id"], _key(request)):
            return reply({"Result": "OK"})
        return reply(None) if options.missing == 200 else reply({"Result": "Not Found"}, 404)

    app.router.add_put("/eir/", stage.partner(add))
    app.router.add_get("/eir/list", stage.partner(listed))
    app.router.add_delete("/eir/{eir_id}", stage.partner(delete))


def settings(url: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {"url": url, "provisioning_key": options.provisioning_key}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _authorise(request: web.Request, options: Options) -> None:
    key = request.headers.get("Provisioning-Key", "")
    if not hmac.compare_digest(key.encode(), options.provisioning_key.encode()):
        raise web.HTTPUnauthorized


def _key(request: web.Request) -> str:
    return request.headers.get("Idempotency-Key", "")
