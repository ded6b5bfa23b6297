"""Files on their way in: forms however they are cut, and bodies that unpack to more than anybody wants."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tempfile
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from litestar import Request

from app.api.form import Form
from app.api.openapi import operations
from app.api.routes import application
from app.api.upload import Packed, spooled
from app.core import disk
from app.core.errors import Invalid, TooLarge, Unavailable
from app.devices.intake import Defaults, Format, read

MEGABYTE = 2**20
HANDLERS = [it.handler for it in operations(application())]
ROUTE = next(it for it in HANDLERS if it.operation_id == "registerDevices")
HEAD = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n'
SITE = b'--x\r\nContent-Disposition: form-data; name="site"\r\n\r\nLYS-2\r\n'


def cut(body: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(min(place, len(body)) for place in places)
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True) if start < end]


def formed(parts: list[bytes]) -> tuple[bytes, str, str, dict[str, Any]]:
    spool = io.BytesIO()
    form = Form(ROUTE, "x", spool.write)
    for part in parts:
        form.take(part)
    form.end()
    return spool.getvalue(), form.filename, form.sent_as, form.said


CONTENTS = st.one_of(st.binary(max_size=60), st.text("\r\n-x", max_size=60).map(str.encode))


@given(CONTENTS.filter(lambda it: b"\r\n--x" not in b"\r\n" + it), st.lists(st.integers(0, 260), max_size=20))
@example(b"\r\n--", list(range(260)))
@example(b"imei\r\n", [len(HEAD) + 6, len(HEAD) + 8, len(HEAD) + 14])
def test_a_form_is_the_same_however_it_is_cut(content: bytes, places: list[int]) -> None:
    body = b"passed over\r\n" + SITE + HEAD + content + b"\r\n--x--" + b"\r\npassed over as well\r\n"
    assert formed(cut(body, places)) == (content, "a.csv", "text/csv", {"site": "LYS-2"})


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_arbitrary_bytes_raise_nothing_but_refusals(tail: bytes, places: list[int]) -> None:
    for start in (b"", b"--x\r\n", HEAD, SITE, SITE[:-7]):
        with pytest.raises(Invalid):
            formed(cut(start + tail, places))


def test_a_large_form_is_not_held() -> None:
    size, block = 0, b"\r\n--y490154203237518" * 10_000

    def count(part: bytes) -> None:
        nonlocal size
        size += len(part)

    form = Form(ROUTE, "x", count)
    tracemalloc.start()
    form.take(HEAD)
    for number in range(100, 600):
        form.take(block + b"%d" % number)
    form.take(b"\r\n--x--")
    form.end()
    assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    tracemalloc.stop()
    assert size == 500 * (len(block) + 3)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_may_unpack_to_the_limit_and_no_byte_more(coding: str, pack: Any) -> None:
    spool = io.BytesIO()
    packed = Packed(coding, spool.write, 1000)
    packed.take(pack(b"a" * 1000))
    packed.end()
    assert spool.getvalue() == b"a" * 1000
    with pytest.raises(TooLarge) as error:
        Packed(coding, spool.write, 999).take(pack(b"a" * 1000))
    assert (error.value.code, "999" in error.value.detail) == ("unpacked-too-large", True)


def test_a_bomb_is_given_up_at_the_limit() -> None:
    written = 0

    def write(block: bytes) -> None:
        nonlocal written
        written += len(block)

    member = gzip.compress(bytes(100 * MEGABYTE))
    tracemalloc.start()
    started, packed = time.monotonic(), Packed("gzip", write, 20 * MEGABYTE)
    with pytest.raises(TooLarge):
        packed.take(member)
    assert time.monotonic() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    tracemalloc.stop()
    assert written <= 20 * MEGABYTE


async def test_others_go_on_while_a_body_is_unpacked() -> None:
    """64 KB that unpack to 64 MB, which is all that comes of one part."""
    packed = gzip.compress(bytes(64 * MEGABYTE))
    assert len(packed) < 65_536 + 1024
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    others = asyncio.ensure_future(tick())
    with tempfile.TemporaryFile() as spool:
        sent = await spooled(request(packed, b"gzip"), spool, len(packed))
        assert spool.tell() == 64 * MEGABYTE
    others.cancel()
    assert sent.sent_as == "text/csv"
    assert ticks > 5


async def test_a_spool_leaves_room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(bytes(64 * MEGABYTE))
    with tempfile.TemporaryFile() as spool:
        under = os.fstatvfs(spool.fileno())
        monkeypatch.setattr(disk, "RESERVE", under.f_blocks * under.f_frsize)
        monkeypatch.setattr(disk, "SHARE", 1)
        with pytest.raises(Unavailable) as refused:
            await spooled(request(packed, b"gzip"), spool, len(packed))
        assert spool.tell() < 9 * MEGABYTE
        small = gzip.compress(bytes(MEGABYTE))
        await spooled(request(small, b"gzip"), spool, len(small))
    with pytest.raises(Unavailable):
        read(io.BytesIO(packed), Format.CSV, Defaults())
    assert refused.value.code == "disk-full"


def request(body: bytes, coding: bytes) -> Request[Any, Any, Any]:
    headers = [(b"content-type", b"text/csv"), (b"content-encoding", coding)]
    scope: Any = {"type": "http", "headers": headers, "query_string": b"", "state": {}, "path": "/"}

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive=receive)
