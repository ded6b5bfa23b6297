"""RFC 6962 hashing against the vectors of the Certificate Transparency reference tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root

LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grown(hashes: list[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    return frontier


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    hashes = [leaf_hash(data) for data in LEAVES[:size]]
    assert root(hashes).hex() == ROOTS[size]
    assert grown(hashes).root().hex() == ROOTS[size]


def test_a_leaf_and_a_node_over_the_same_bytes_differ() -> None:
    assert leaf_hash(b"ab") != node_hash(b"a", b"b")


def test_the_frontier_has_the_root_of_the_definition_at_every_size() -> None:
    hashes = [leaf_hash(str(n).encode()) for n in range(130)]
    frontier = Frontier()
    assert frontier.root() == root([]) == EMPTY_ROOT
    for size, leaf in enumerate(hashes, start=1):
        frontier.append(leaf)
        assert frontier.size == size
        assert frontier.root() == root(hashes[:size])


@given(st.lists(st.binary(max_size=40), max_size=70), st.integers(min_value=0, max_value=70))
def test_a_frontier_that_was_stored_grows_on_as_if_it_had_not_been(data: list[bytes], pause: int) -> None:
    hashes = [leaf_hash(item) for item in data]
    before = grown(hashes[:pause])
    after = Frontier(before.size, before.roots)
    for leaf in hashes[pause:]:
        after.append(leaf)
    assert after.root() == root(hashes)
    assert after.roots == grown(hashes).roots


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=40, unique=True), st.data())
def test_any_change_of_order_changes_the_root(data: list[bytes], draw: st.DataObject) -> None:
    hashes = [leaf_hash(item) for item in data]
    other = draw.draw(st.permutations(hashes))
    assert (root(hashes) == root(other)) == (hashes == other)


@pytest.mark.parametrize(("size", "roots"), [(0, [b"x"]), (3, [b"x"]), (4, [b"x", b"y"])])
def test_a_frontier_that_cannot_be_is_refused(size: int, roots: list[bytes]) -> None:
    with pytest.raises(ValueError, match=f"{size} leaves have"):
        Frontier(size, roots)
