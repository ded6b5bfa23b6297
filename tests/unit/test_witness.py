"""A witness signs what grew, and nothing else, whatever it is asked and whenever it is started again."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from app.audit import note, proof
from app.audit.checkpoint import Head
from app.audit.merkle import EMPTY_ROOT, leaf_hash, root
from app.audit.note import Kind, Signer
from app.core.errors import Conflict, Invalid, Missing
from app.witness import cosign, memory
from app.witness.cosign import Said
from app.witness.memory import Memory

LOG = Signer("gateway.example/audit", Kind.NOTE, bytes(range(32)))
OTHER = Signer("other.example/audit", Kind.NOTE, bytes(32))
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
FORKED = [*LEAVES[:5], leaf_hash(b"another"), *LEAVES[6:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    memory.made(tmp_path / "w", "witness.example/w", [LOG.verifier], Random(1).randbytes)
    return tmp_path / "w"


@pytest.fixture
def mine(folder: Path) -> Iterator[Memory]:
    with memory.opened(folder) as found:
        yield found


def checkpoint(size: int, leaves: list[bytes] = LEAVES, signer: Signer = LOG, origin: str = "") -> str:
    return note.signed(Head(origin or LOG.verifier.name, size, root(leaves[:size])).text(), [signer])


def path(old: int, size: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    spans = proof.consistency(old, size)
    return [proof.hashed(span, lambda part: root(leaves[part.start : part.end])) for span in spans]


def body(old: int, written: str, hashes: list[bytes] | None = None) -> bytes:
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in hashes or [])
    return f"old {old}\n{lines}\n{written}".encode()


def shown(mine: Memory, old: int, size: int, leaves: list[bytes] = LEAVES) -> Said:
    return cosign.add(mine, body(old, checkpoint(size, leaves), path(old, size, leaves)), 1_700_000_000)


def test_a_log_that_grows_is_signed_each_time(mine: Memory) -> None:
    for old, size in [(0, 3), (3, 8), (8, 8), (8, 40)]:
        said = shown(mine, old, size)
        assert said.status == 200
        _, good = note.opened(checkpoint(size) + said.text, [mine.signer.verifier])
        assert mine.signer.verifier.at(good[mine.signer.verifier]) == 1_700_000_000


def test_what_was_rolled_back_is_not_signed(mine: Memory) -> None:
    shown(mine, 0, 8)
    assert shown(mine, 0, 5) == Said(409, "8\n", cosign.SIZE)
    assert shown(mine, 5, 7).status == 409
    assert cosign.add(mine, body(8, checkpoint(5)), 1).status == 400


def test_what_was_forked_is_not_signed(mine: Memory) -> None:
    shown(mine, 0, 8)
    assert shown(mine, 8, 8, FORKED).status == 422
    assert shown(mine, 8, 12, FORKED).status == 422
    assert cosign.add(mine, body(8, checkpoint(12, FORKED), path(8, 12)), 1).status == 422
    assert shown(mine, 8, 12).status == 200


def test_neither_is_forgotten_by_starting_again(folder: Path) -> None:
    with memory.opened(folder) as before:
        shown(before, 0, 8)
    with memory.opened(folder) as after:
        assert after.last(LOG.verifier.name).size == 8
        assert shown(after, 0, 5).status == 409
        assert shown(after, 8, 12).status == 200


def test_a_witness_without_its_memory_signs_nothing(folder: Path) -> None:
    (folder / memory.file_of(LOG.verifier.name)).unlink()
    with pytest.raises(Conflict, match="has lost what it knew"), memory.opened(folder):
        pass


def test_two_processes_are_not_one_witness(folder: Path, mine: Memory) -> None:
    with pytest.raises(Conflict, match="already"), memory.opened(folder):
        pass


def test_who_must_have_signed(mine: Memory) -> None:
    assert cosign.add(mine, body(0, checkpoint(3, signer=OTHER, origin=OTHER.verifier.name)), 1).status == 404
    assert cosign.add(mine, body(0, checkpoint(3, signer=OTHER)), 1).status == 403
    false = checkpoint(3).replace("\n3\n", "\n4\n")
    assert cosign.add(mine, body(0, false), 1).status == 403


def test_an_empty_log_is_signed_as_one(mine: Memory) -> None:
    assert cosign.add(mine, body(0, checkpoint(0)), 1).status == 200
    empty = note.signed(Head(LOG.verifier.name, 0, bytes(32)).text(), [LOG])
    assert root([]) == EMPTY_ROOT
    assert cosign.add(mine, body(0, empty), 1).status == 422
    assert shown(mine, 0, 3).status == 200


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n" + checkpoint(3).encode(),
        b"old -1\n\n" + checkpoint(3).encode(),
        b"new 0\n\n" + checkpoint(3).encode(),
        b"old 0\nxx\n\n" + checkpoint(3).encode(),
        body(0, checkpoint(3), [bytes(32)] * 64),
        b"old 0\n\nno checkpoint\n",
        b"\xff\xfe",
    ],
    ids=["nothing", "no note", "00", "-1", "new", "no hash", "64 hashes", "no checkpoint", "no text"],
)
def test_what_is_no_request(mine: Memory, asked: bytes) -> None:
    assert cosign.add(mine, asked, 1).status == 400


def test_a_proof_where_none_is_wanted(mine: Memory) -> None:
    assert cosign.add(mine, body(0, checkpoint(3), [bytes(32)]), 1).status == 422


def test_a_further_key_and_a_further_log(folder: Path) -> None:
    with memory.opened(folder) as before:
        shown(before, 0, 8)
    newer = Signer(LOG.verifier.name, Kind.NOTE, bytes(range(5, 37)))
    for key in (newer, OTHER):
        memory.trust(folder, key.verifier)
    with memory.opened(folder) as after:
        assert after.last(LOG.verifier.name).size == 8
        written = checkpoint(12, signer=newer)
        assert cosign.add(after, body(8, written, path(8, 12)), 1).status == 200
        other = checkpoint(3, signer=OTHER, origin=OTHER.verifier.name)
        assert cosign.add(after, body(0, other), 1).status == 200
        assert after.shown(memory.file_of(LOG.verifier.name)).startswith(written)
        with pytest.raises(Missing):
            after.shown(memory.file_of("nobody"))


def test_what_a_witness_cannot_be_made_of(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Conflict, match="already"):
        memory.made(folder, "again", [LOG.verifier], Random(1).randbytes)
    with pytest.raises(Invalid, match="not of a log"):
        memory.made(
            tmp_path / "x", "x", [Signer("w", Kind.COSIGNATURE, bytes(32)).verifier], Random(1).randbytes
        )
    with pytest.raises(Missing, match="no witness"), memory.opened(tmp_path / "nowhere"):
        pass


def test_the_key_is_for_its_owner_alone(folder: Path) -> None:
    assert (folder / memory.KEY).stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
