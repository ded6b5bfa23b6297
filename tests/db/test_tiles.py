"""What the log hands out, checked as a stranger would check it: from tiles, proofs and checkpoints alone."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from app.audit import checkpoint, merkle, note, proof, tiles
from app.audit.note import Kind, Signer
from app.audit.record import Entry, record
from app.audit.seal import seal
from app.audit.tiles import Tile
from app.core.errors import Conflict, Missing

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
LOG = Signer("gateway.example/audit", Kind.NOTE, bytes(range(32)))
MANY = 66_000


async def grow(conn: Any, count: int, limit: int = 10_000, signers: tuple[Signer, ...] = (LOG,)) -> None:
    async with conn.transaction():
        await record(
            conn,
            [Entry("incident.approved", "incident:7", "key:k (Ada)", NOW, {"n": n}) for n in range(count)],
        )
    while True:
        async with conn.transaction():
            if not await seal(conn, NOW, limit, signers):
                return


async def head(conn: Any) -> checkpoint.Head:
    written = await conn.fetchval("SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
    opened, _ = note.opened(written, [LOG.verifier])
    return checkpoint.read(opened.text)


async def leaves(conn: Any) -> list[bytes]:
    return [row["hash"] for row in await conn.fetch("SELECT hash FROM audit_leaf ORDER BY seq")]


async def test_the_log_can_be_built_again_from_its_tiles(conn: Any) -> None:
    await grow(conn, 700, limit=230)
    said = await head(conn)
    assert said.size == 701  # the key's own entry is the first
    parts = [Tile(0, 0, 256), Tile(0, 1, 256), Tile(0, 2, 189)]
    hashes = b"".join([await tiles.tile(conn, part) for part in parts])
    found = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    assert merkle.root(found) == said.root
    level_1 = await tiles.tile(conn, Tile(1, 0, 2))
    assert level_1 == merkle.root(found[:256]) + merkle.root(found[256:512])


async def test_the_entries_are_handed_out_as_they_were_hashed(conn: Any) -> None:
    await grow(conn, 300)
    bundle, found = await tiles.tile(conn, Tile(None, 1, 44)), []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        found.append(merkle.leaf_hash(bundle[2 : 2 + length]))
        bundle = bundle[2 + length :]
    assert found == (await leaves(conn))[256:300]


def parts(written: str) -> tuple[int, list[bytes], checkpoint.Head]:
    """Index, path and head of a tlog-proof, whose checkpoint is signed by the log."""
    top, _, below = written.partition("\n\n")
    kind, index, *path = top.split("\n")
    assert kind == "c2sp.org/tlog-proof@v1"
    opened, _ = note.opened(below, [LOG.verifier])
    return (
        int(index.removeprefix("index ")),
        [base64.b64decode(one) for one in path],
        checkpoint.read(opened.text),
    )


async def test_every_entry_of_a_long_log_can_be_proven(conn: Any) -> None:
    """Long enough for hashes of the second level."""
    await grow(conn, MANY)
    ids = [row["entry_id"] for row in await conn.fetch("SELECT entry_id FROM audit_leaf ORDER BY seq")]
    places = [0, 1, 255, 256, 511, 40_000, 65_535, 65_536, MANY]
    for found in await tiles.prove(conn, [ids[place] for place in places]):
        index, path, said = parts(found.proof or "")
        assert ids[index] == found.entry_id
        assert proof.includes(merkle.leaf_hash(found.body.encode()), index, said.size, path, said.root)
        assert said.size == MANY + 1
    for old in (1, 256, 257, 10_000, 65_536, 65_537, MANY + 1):
        before = merkle.root((await leaves(conn))[:old])
        assert proof.is_consistent(old, before, MANY + 1, said.root, await tiles.grown(conn, old, MANY + 1))


async def test_a_log_that_was_never_signed_gets_all_it_lacks(conn: Any) -> None:
    await grow(conn, 600, signers=())
    async with conn.transaction():
        await conn.execute("SET LOCAL ROLE NONE; SET LOCAL session_replication_role = replica")
        await conn.execute("DELETE FROM audit_node")
    await grow(conn, 1)
    (found,) = await tiles.prove(conn, [await conn.fetchval("SELECT min(entry_id) FROM audit_leaf")])
    index, path, said = parts(found.proof or "")
    assert proof.includes(merkle.leaf_hash(found.body.encode()), index, said.size, path, said.root)


async def test_what_is_not_sealed_has_no_proof_yet(conn: Any) -> None:
    await grow(conn, 2)
    async with conn.transaction():
        await record(conn, [Entry("incident.approved", "incident:8", "key:k (Ada)", NOW)])
    last = await conn.fetchval("SELECT max(entry_id) FROM audit_entry")
    with pytest.raises(Conflict, match="not under a signed checkpoint"):
        await tiles.proven(conn, last)
    with pytest.raises(Missing):
        await tiles.proven(conn, last + 1)


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("0/000", Tile(0, 0, 256)),
        ("0/x001/x234/067", Tile(0, 1_234_067, 256)),
        ("1/x001/234.p/56", Tile(1, 1234, 56)),
        ("entries/000.p/255", Tile(None, 0, 255)),
    ],
)
def test_paths_of_tiles(path: str, tile: Tile) -> None:
    assert tiles.named(path) == tile


WRONG = [
    "", "0", "0/0", "00/000", "64/000", "0/001/234", "0/000.p/0", "0/000.p/256", "0/000.p/", "entries/x",
    "0/\u0663\u0663\u0663",
]  # fmt: skip


@pytest.mark.parametrize("path", WRONG)
def test_what_is_no_path_of_a_tile(path: str) -> None:
    with pytest.raises(Missing):
        tiles.named(path)


@pytest.mark.parametrize(
    "tile", [Tile(0, 0, 4), Tile(0, 1, 1), Tile(1, 0, 1), Tile(40, 0, 1), Tile(None, 0, 4)]
)
async def test_a_tile_beyond_the_end_is_missing(conn: Any, tile: Tile) -> None:
    await grow(conn, 2)
    with pytest.raises(Missing):
        await tiles.tile(conn, tile)
