"""The checker, in the manner of Jepsen's total queue: what went in must come out. It reads the partners' own books,
in their processes, and the decisions as those who made them remember them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx

from app.core.db import Pool
from app.delivery import calls

_CHUNKS = "SELECT chunk_id, op, partners, keys, versions FROM chunk JOIN command USING (command_id)"
_CALLS = """
SELECT made ->> 'key' AS key, (made ->> 'ms')::double precision / 1000 AS took,
       (made ->> 'chunk')::bigint AS chunk, made ->> 'places' AS places
FROM audit_entry, jsonb_array_elements(body::jsonb -> 'detail' -> 'calls') AS made WHERE kind = 'delivery.attempted'
"""


class Verdict(NamedTuple):
    """Identifiers `lost` (to be blocked, and not), `wrong` (blocked, and not to be), `regressed` (an older state came
    after a newer one, for a while) and `unlisted` (our own list is not what was decided); `slept` are those regressed
    whose worker slept over its lease with the call in its hands. `repeats` are harmless."""

    lost: set[str]
    wrong: set[str]
    regressed: set[str]
    unlisted: set[str]
    slept: set[str]
    repeats: int


class Keys:
    """What version of what a call's key meant, and how long the call took, as far as that can be known: every call of
    one order can, others where their worker lived to settle them."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], int] = {}
        self.took: dict[str, float] = {}

    @classmethod
    async def read(cls, pool: Pool) -> Keys:
        made = cls()
        chunks = {row["chunk_id"]: row for row in await pool.fetch(_CHUNKS)}
        for row in chunks.values():
            for place, key in enumerate(row["keys"], 1):
                made._add_single(row, place, key)
        for call in await pool.fetch(_CALLS):
            made.took[call["key"]] = max(call["took"], made.took.get(call["key"], 0))
            row = chunks[call["chunk"]]
            for place in _places(call["places"]):
                made.versions[call["key"], f"{row['keys'][place - 1]:014d}"] = row["versions"][place - 1]
        return made

    def _add_single(self, row: Any, place: int, key: int) -> None:
        work: Any = SimpleNamespace(chunk_id=row["chunk_id"], op=row["op"])
        for partner in row["partners"]:
            call = calls._key(partner, work, [place])
            self.versions[call, f"{key:014d}"] = row["versions"][place - 1]


def _places(spans: str) -> list[int]:
    """`3,7-9` as 3, 7, 8, 9."""
    ends = [span.split("-") for span in spans.split(",")]
    return [place for both in ends for place in range(int(both[0]), int(both[-1]) + 1)]


async def judge(pool: Pool, urls: Mapping[str, str], blocked: set[str], lease: float) -> Verdict:
    """`blocked` is what the decisions come to, by 14 digits."""
    keys = await Keys.read(pool)
    lost, wrong, regressed, slept = set[str](), set[str](), set[str](), set[str]()
    repeats = 0
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for name, url in urls.items():
            held = set((await client.get(f"{url}/sandbox/identifiers?state=blocked")).json()["identifiers"])
            free = set((await client.get(f"{url}/sandbox/identifiers?state=released")).json()["identifiers"])
            repeats += (await client.get(f"{url}/sandbox")).json()["duplicates"]
            lost |= {f"{name} {one}" for one in blocked - held}
            wrong |= {f"{name} {one}" for one in held - blocked}
            for one in held | free:
                said = (await client.get(f"{url}/sandbox/identifiers/{one}")).json()["history"]
                behind = late(one, said, keys)
                regressed |= {f"{name} {one}"} if behind else set()
                slept |= {f"{name} {one}"} if any(keys.took.get(key, 0) > lease for key in behind) else set()
    rows = await pool.fetch("SELECT key FROM listing WHERE blocked_by > 0")
    unlisted = {f"{row['key']:014d}" for row in rows} ^ blocked
    return Verdict(lost, wrong, regressed, unlisted, slept, repeats)


def late(name: str, history: list[str], keys: Keys) -> list[str]:
    """The keys of the calls that brought an older state after a newer one."""
    newest, behind = 0, []
    for words in history:
        key = words.partition(" ")[2]
        version = keys.versions.get((key, name), newest)
        if version < newest:
            behind.append(key)
        newest = max(newest, version)
    return behind
