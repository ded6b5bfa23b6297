"""Proofs over the tree, against RFC 6962's own words, its published examples, and another's code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from app.audit import proof
from app.audit.merkle import EMPTY_ROOT, leaf_hash, root
from app.audit.proof import Span

LEAVES = [leaf_hash(str(number).encode()) for number in range(140)]


def hash_of(span: Span) -> bytes:
    return proof.hashed(span, lambda part: root(LEAVES[part.start : part.end]))


def inclusion(index: int, size: int) -> list[bytes]:
    return [hash_of(span) for span in proof.inclusion(index, size)]


def consistency(old: int, size: int) -> list[bytes]:
    return [hash_of(span) for span in proof.consistency(old, size)]


def by_definition(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*by_definition(index, leaves[:split]), root(leaves[split:])]
    return [*by_definition(index - split, leaves[split:]), root(leaves[:split])]


def grown_by_definition(old: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= split:
        return [*grown_by_definition(old, leaves[:split], whole), root(leaves[split:])]
    return [*grown_by_definition(old - split, leaves[split:], False), root(leaves[:split])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 140])
def test_every_leaf_is_proven_as_the_definition_has_it(size: int) -> None:
    whole = root(LEAVES[:size])
    for index in range(size):
        path = inclusion(index, size)
        assert path == by_definition(index, LEAVES[:size])
        assert proof.includes(LEAVES[index], index, size, path, whole)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 64, 140])
def test_every_growth_is_proven_as_the_definition_has_it(size: int) -> None:
    whole = root(LEAVES[:size])
    for old in range(1, size + 1):
        path = consistency(old, size)
        assert path == grown_by_definition(old, LEAVES[:size])
        assert proof.is_consistent(old, root(LEAVES[:old]), size, whole, path)
    assert proof.is_consistent(0, EMPTY_ROOT, size, whole, [])


@pytest.mark.parametrize("size", [1, 5, 8, 31])
def test_another_implementation_makes_the_same_roots_and_paths(size: int) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append_entry(str(number).encode())
    assert tree.get_root() == root(LEAVES[:size])
    for index in range(size):
        theirs = [bytes.fromhex(one) for one in tree.prove_inclusion(index + 1).serialize()["path"]][1:]
        assert theirs == inclusion(index, size)


@given(st.data())
def test_a_proof_holds_for_nothing_else(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 140))
    index = data.draw(st.integers(0, size - 1))
    path, whole = inclusion(index, size), root(LEAVES[:size])
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    assert not proof.includes(LEAVES[other], index, size, path, whole)
    assert not proof.includes(LEAVES[index], other, size, path, whole)
    assert not proof.includes(LEAVES[index], index, size, path[:-1], whole)
    assert not proof.includes(LEAVES[index], index, size, [*path, bytes(32)], whole)
    assert not proof.includes(LEAVES[index], index, size, path, bytes(32))
    spoiled = data.draw(st.integers(0, len(path) - 1))
    assert not proof.includes(
        LEAVES[index], index, size, [*path[:spoiled], bytes(32), *path[spoiled + 1 :]], whole
    )


@given(st.data())
def test_no_proof_makes_a_fork_look_like_growth(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 140))
    old = data.draw(st.integers(1, size - 1))
    path, before, whole = consistency(old, size), root(LEAVES[:old]), root(LEAVES[:size])
    assert not proof.is_consistent(old, bytes(32), size, whole, path)
    assert not proof.is_consistent(old, before, size, bytes(32), path)
    assert not proof.is_consistent(old, before, size, whole, path[:-1])
    assert not proof.is_consistent(old, before, size, whole, [*path, bytes(32)])
    spoiled = data.draw(st.integers(0, len(path) - 1))
    assert not proof.is_consistent(
        old, before, size, whole, [*path[:spoiled], bytes(32), *path[spoiled + 1 :]]
    )


def test_a_tree_of_the_same_size_is_the_same_tree() -> None:
    assert proof.is_consistent(5, root(LEAVES[:5]), 5, root(LEAVES[:5]), [])
    assert not proof.is_consistent(5, root(LEAVES[:5]), 5, bytes(32), [])
    assert not proof.is_consistent(5, root(LEAVES[:5]), 5, root(LEAVES[:5]), [bytes(32)])
    assert not proof.is_consistent(6, root(LEAVES[:6]), 5, root(LEAVES[:5]), [bytes(32)])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_no_leaf_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        proof.inclusion(index, size)
