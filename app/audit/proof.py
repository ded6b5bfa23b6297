"""Proofs over the tree (RFC 6962 sections 2.1.1 and 2.1.2): that a leaf is in it, and that it only grew. Pure.

A proof is made of the hashes of full subtrees, which `spans` names; whoever has the tree brings them. To check one
takes the proof and the two ends alone (RFC 9162 sections 2.1.3.2 and 2.1.4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.audit.merkle import EMPTY_ROOT, node_hash


class Span(NamedTuple):
    """Leaves from `start` to before `end`: a part that the tree is split into somewhere."""

    start: int
    end: int


def inclusion(index: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove leaf `index` of `size`, from the leaf's own neighbour up. ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    return _beside(index, Span(0, size))


def _beside(index: int, tree: Span) -> list[Span]:
    found = []
    while tree.end - tree.start > 1:
        left, right = _split(tree)
        inside, beside = (left, right) if index < left.end else (right, left)
        found.append(beside)
        tree = inside
    return found[::-1]


def consistency(old: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove that a tree of `old` leaves grew into one of `size`. ValueError."""
    if not 0 <= old <= size:
        raise ValueError(f"no tree of {old} leaves grows into one of {size}")
    if old in (0, size):
        return []
    found, tree, whole = [], Span(0, size), True
    while tree.end != old:
        left, right = _split(tree)
        if old <= left.end:
            found.append(right)
            tree = left
        else:
            found.append(left)
            tree, whole = right, False
    return [*([] if whole else [tree]), *found[::-1]]


def full(span: Span) -> list[Span]:
    """The full subtrees that a part consists of, largest first; each begins at a multiple of its own size."""
    parts, start = [], span.start
    while start < span.end:
        width = 1 << (span.end - start).bit_length() - 1
        parts.append(Span(start, start + width))
        start += width
    return parts


def hashed(span: Span, hash_of: Callable[[Span], bytes]) -> bytes:
    """The tree hash of a part, from those of its full subtrees."""
    *lefts, node = [hash_of(part) for part in full(span)]
    for left in reversed(lefts):
        node = node_hash(left, node)
    return node


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf hash stands at `index` of the tree of that root."""
    if not 0 <= index < size:
        return False
    node, at, last = leaf, index, size - 1
    for other in proof:
        if not last:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return not last and node == root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `old` leaves is the beginning of the one of `size`."""
    if old in (0, size):
        return not proof and old_root == (root if old else EMPTY_ROOT)
    if not 0 < old < size or not proof:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first, *rest = [old_root, *proof] if old.bit_count() == 1 else proof
    before = after = first
    for other in rest:
        if not last:
            return False
        if at & 1 or at == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, other)
        at, last = at >> 1, last >> 1
    return not last and before == old_root and after == root


def _split(tree: Span) -> tuple[Span, Span]:
    width = 1 << (tree.end - tree.start - 1).bit_length() - 1
    middle = tree.start + width
    return Span(tree.start, middle), Span(middle, tree.end)
