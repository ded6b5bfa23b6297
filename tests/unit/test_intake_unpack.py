"""Packed goods-in files: what is in them is read, and never more than is allowed."""

from __future__ import annotations

import bz2
import gzip
import io
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import imei
from app.core.errors import GatewayError, Invalid, TooLarge
from app.devices.intake import Defaults, Format, guess, read
from app.devices.intake.unpack import opened

A, B, C = (imei.full(35_209900_176148 + n) for n in range(3))
# Without the time of day: it would stand in the names of the tests.
gz = partial(gzip.compress, mtime=0)
CSV = f"imei,serial\n{A},S1\n{B},S2\n".encode()
MEGABYTE = 2**20


class Pipe:
    """A file that can only be read on."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def seekable(self) -> bool:
        return False


def keys(packed: bytes, format: Format = Format.CSV) -> list[list[int]]:
    return [row.keys for row, _, _ in read(io.BytesIO(packed), format, Defaults()).readings if row]


def unpacked(packed: bytes, most: int = MEGABYTE) -> bytes:
    with opened(io.BytesIO(packed), most) as file:
        return file.read()


def refusal(packed: bytes, most: int = MEGABYTE) -> GatewayError:
    with pytest.raises(GatewayError) as error, opened(io.BytesIO(packed), most):
        pass
    return error.value


@pytest.mark.parametrize(
    "packed",
    [
        gz(CSV),
        gz(CSV[:20]) + gz(b"") + gz(CSV[20:]),
        gz(CSV) + bytes(1000),
        gz(CSV, compresslevel=0),
    ],
)
def test_a_packed_file_is_read_as_the_file_in_it(packed: bytes) -> None:
    assert keys(packed) == keys(CSV) == [[int(A[:14])], [int(B[:14])]]


@pytest.mark.parametrize("format", [Format.CSV, Format.NDJSON, Format.JSON])
def test_every_format_may_come_packed(format: Format) -> None:
    text = {
        Format.CSV: f"imei\n{A}\n", Format.NDJSON: f'{{"imei":"{A}"}}\n',
        Format.JSON: f'{{"devices":[{{"imei":"{A}"}}]}}',
    }[format]  # fmt: skip
    packed = gz(text.encode())
    assert keys(packed, guess(f"stock.{format}.gz", "application/gzip", packed)) == [[int(A[:14])]]


def test_what_is_not_packed_is_passed_through_from_where_it_stands() -> None:
    source = io.BytesIO(b"first" + CSV)
    source.seek(5)
    with opened(source, 1) as file:
        assert file is source
        assert file.read() == CSV
    for short in (b"", b"\x1f", b"i"):
        assert unpacked(short) == short


def test_a_pipe_is_read_once_and_its_packed_file_can_be_read_twice() -> None:
    with opened(cast(BinaryIO, Pipe(iter([CSV]))), 1) as file:
        assert b"".join(iter(lambda: file.read(7), b"")) == CSV
    with opened(cast(BinaryIO, Pipe(iter([gz(CSV)]))), MEGABYTE) as file:
        assert file.read() == CSV
        file.seek(0)
        assert file.read() == CSV


def test_a_file_may_unpack_to_its_limit_and_no_byte_more() -> None:
    packed = gz(bytes(1000) + CSV)
    size = 1000 + len(CSV)
    assert len(unpacked(packed, size)) == size
    error = refusal(packed, size - 1)
    assert isinstance(error, TooLarge)
    assert (error.code, f"{size - 1:,}" in error.detail) == ("unpacked-too-large", True)


def test_a_bomb_is_given_up_at_the_limit() -> None:
    """A terabyte in a gigabyte: nothing of it is waited for, or held."""
    member = gz(bytes(100 * MEGABYTE))
    source = cast(BinaryIO, Pipe(chain(repeat(member, 10_000))))
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(TooLarge), opened(source, 20 * MEGABYTE):
        pass
    assert time.monotonic() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    tracemalloc.stop()


def test_members_without_end_are_given_up() -> None:
    source = cast(BinaryIO, Pipe(repeat(gz(b"") * 5_000, 10_000)))
    with pytest.raises(Invalid) as error, opened(source, MEGABYTE):
        pass
    assert error.value.code == "gzip-broken"


def test_a_packed_json_document_is_held_to_what_may_be_held() -> None:
    packed = gz(b'{"devices": [' + b" " * (65 * MEGABYTE) + b"]}")
    with pytest.raises(TooLarge) as error:
        keys(packed, Format.JSON)
    assert error.value.code == "unpacked-too-large"


@pytest.mark.parametrize(
    "packed",
    [
        gz(CSV)[:-1],
        gz(CSV)[:15],
        b"\x1f\x8b",
        b"\x1f\x8b\x07" + gz(CSV)[3:],
        gz(CSV)[:-8] + bytes(8),
        gz(CSV) + b"and more",
        gz(CSV) + gz(CSV)[:-3],
    ],
)
def test_a_damaged_file_is_refused(packed: bytes) -> None:
    error = refusal(packed)
    assert isinstance(error, Invalid)
    assert error.code == "gzip-broken"
    assert "pack it again" in error.detail


def test_gzip_in_gzip_is_refused() -> None:
    packed = gz(gz(CSV))
    assert refusal(packed).code == "gzip-nested"
    assert refusal(gz(b"") + packed).code == "gzip-nested"
    with pytest.raises(Invalid) as error:
        guess("stock.csv.gz.gz", "", packed)
    assert error.value.code == "gzip-nested"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_refusals(tail: bytes) -> None:
    for start in (b"\x1f\x8b", b"\x1f\x8b\x08", gz(CSV), gz(CSV)[:-10]):
        try:
            unpacked(start + tail)
        except (Invalid, TooLarge):
            continue


def test_what_is_packed_otherwise_is_no_table() -> None:
    for packed in (bz2.compress(CSV), zlib.compress(CSV)):
        with pytest.raises(Invalid) as error:
            keys(packed, guess("stock.csv", "", packed))
        assert error.value.code == "header-wrong"
