"""Ranges of IMEIs, in a layout that says that nobody has verified it."""

from app.adapters import registry
from app.adapters.contract import Kind, Order
from app.adapters.gsma_file import ranges
from app.core.imei import full

from .conftest import SINCE, imeis
from .drops import left


def test_ranges_are_of_neighbours_and_of_one_type():
    keys = [5, 6, 7, 9, 999_999, 1_000_000, 7]
    assert list(ranges([Order(key, 1, imei=full(key)) for key in keys])) == [
        (5, 7),
        (9, 9),
        (999_999, 999_999),
        (1_000_000, 1_000_000),
    ]
    assert list(ranges([])) == []


async def test_a_ranges_file_says_that_it_is_unverified():
    adapter = registry.make("gsma_file", {"url": "file:///gsma", "organisation": "ORG1"})
    assert "unverified" in adapter.title
    files, _ = await left(adapter, orders=(*imeis(3), *imeis(1, 35_000_000_000_009)), since=SINCE)
    (body,) = files.values()
    assert body.decode().splitlines() == [
        "HEADER,ORG1,key-1,20260301,UNVERIFIED-1",
        "35000000000000,35000000000002,insert,0011",
        "35000000000009,35000000000009,insert,0011",
        "TRAILER,2",
    ]
    assert adapter.kinds == {Kind.IMEI}
