"""Rows of somebody whose reach has an end: they name goods of his own, or they are refused.

A row that leaves its owner or its site open has the one that he may act for, where that is one. What is registered
out of his reach he does not see; that its names are taken is all he is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from app.core.db import Connection
from app.core.reach import Reach
from app.core.sql import queries
from app.devices import verdicts
from app.devices.candidates import BODY, Batch, Candidate, Reject, escaped, ordered, split
from app.devices.intake import Finding
from app.devices.intake.cells import flaw

_SQL = queries("devices")
_SITE, _OWNER = BODY.index("site") + 1, BODY.index("owner") + 1


async def admit(conn: Connection, reach: Reach | None, batch: Batch) -> Batch:
    """The batch without the rows that are not his to register, which its findings and rejects then hold."""
    if reach is None:
        return batch
    candidates = [_filled(each, reach) for each in chain(batch.distinct.candidates(), batch.doubtful)]
    taken = await _taken(conn, candidates)
    found = {each.place: _why(each, reach, taken) for each in candidates}
    refused = [(each, finding) for each in candidates if (finding := found[each.place])]
    for each, finding in refused:
        batch.findings.append(finding)
        batch.rejects.append(Reject.of(batch.cells(each), [finding]))
    left = sorted((each for each in candidates if not found[each.place]), key=lambda each: each.line)
    distinct, batch.doubtful = split(left, ())
    batch.distinct = ordered(distinct)
    return batch


def _filled(each: Candidate, reach: Reach) -> Candidate:
    columns = each.text.split("\t")
    for place, known in ((_SITE, reach.sites), (_OWNER, reach.owners)):
        if columns[place] == "" and known is not None and len(known) == 1:
            columns[place] = escaped(known[0])
    return each._replace(text="\t".join(columns))


async def _taken(conn: Connection, candidates: Sequence[Candidate]) -> set[int | tuple[str, str]]:
    """The names of these rows that devices out of reach have."""
    keys = [key for each in candidates for key in each.keys]
    names = [name for each in candidates if (name := each.name)[0]]
    taken: set[int | tuple[str, str]] = {row["key"] for row in await conn.fetch(_SQL.taken_keys, keys)}
    rows = await conn.fetch(_SQL.taken_serials, [one[0] for one in names], [one[1] for one in names])
    return taken | {(row["serial"], row["gtin"]) for row in rows}


def _why(each: Candidate, reach: Reach, taken: set[int | tuple[str, str]]) -> Finding | None:
    """Why a row is not his to register."""
    columns = [column.replace("\\\\", "\\") for column in each.text.split("\t")]
    for field, place, known in (("owner", _OWNER, reach.owners), ("site", _SITE, reach.sites)):
        if known is not None and columns[place] not in known:
            said = f"'{columns[place]}'" if columns[place] else "no"
            sentence = (
                f"the row says {said} {field}, and this key registers goods of {', '.join(known)} alone"
            )
            return flaw(field, columns[place], f"{field}-out-of-reach", f"{sentence}.", each.line)
    if taken.isdisjoint(each.handles):
        return None
    name = verdicts.named(each.keys, each.name[0])
    sentence = f"{name} is registered already, for an owner or a site that this key may not see."
    return flaw("imeis" if each.keys else "serial", name, "registered-out-of-reach", sentence, each.line)
