"""JSON that is strictly JSON, and bodies that are held in memory: neither grows beyond its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar, post
from litestar.status_codes import HTTP_200_OK

from app.api import body
from app.api.leftovers import heard_out
from app.api.problems import HANDLERS, AnyRequest
from app.core import strict
from app.core.errors import Invalid, TooLarge


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "body-empty"),
        (b"{", "body-malformed"),
        (b'{"a": NaN}', "body-malformed"),
        (b'{"a": "\xff"}', "body-malformed"),
        (b"[" * (strict.DEPTH + 1) + b"]" * (strict.DEPTH + 1), "body-malformed"),
        (b'{"a":' * (strict.DEPTH + 1) + b"1" + b"}" * (strict.DEPTH + 1), "body-malformed"),
        (b"[" * 100_000, "body-malformed"),
        (b'{"a": 1, "a": 2}', "body-name-twice"),
        (b'[{"b": {"\\u0061": 1, "a": 2}}]', "body-name-twice"),
        (b'{"a": 1, "a": 2, "\\\\u003a": 3}', "body-name-twice"),
        (b'{"a": "\\u0000"}', "body-wrong"),
    ],
)
def test_what_is_not_strictly_json(text, code):
    with pytest.raises(Invalid) as refused:
        strict.value(text)
    assert refused.value.code == code


def test_what_is_strictly_json():
    deep = b"[" * strict.DEPTH + b"]" * strict.DEPTH
    assert strict.value(deep) is not None
    assert strict.value(b'{"b": "\\\\u003a"}') == {"b": "\\u003a"}
    assert strict.value(b' {"a:b": "\\u003a", "c": [1, null]} ') == {"a:b": ":", "c": [1, None]}


def test_a_text_is_taken_apart_one_level_at_a_time():
    found = strict.members(b'{"a": [1, {"b": 2, "b": 3}], "c": 1}')
    assert {name: bytes(raw) for name, raw in found.items()} == {"a": b'[1, {"b": 2, "b": 3}]', "c": b"1"}
    assert [bytes(raw) for raw in strict.elements(bytes(found["a"]))] == [b"1", b'{"b": 2, "b": 3}']
    with pytest.raises(Invalid):
        strict.members(b'{"a": 1, "a": 2}')
    with pytest.raises(TooLarge) as refused:
        strict.members(b'{"a": [' + b"0," * strict.MOST_PARTS + b"0]}")
    assert refused.value.code == "body-too-many-parts"


@post("/", request_max_body_size=None, status_code=HTTP_200_OK)
async def count(request: AnyRequest) -> int:
    return len(await body.text(request, 10_000_000))


async def test_large_bodies_are_held_up_to_a_limit_in_all_and_let_go(monkeypatch):
    monkeypatch.setattr(body, "MOST_HELD", 1_000_000)
    app = heard_out(Litestar([count], exception_handlers=HANDLERS))
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 900_000
        await go_on.wait()
        yield b"x"

    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        held = asyncio.create_task(client.post("/", content=slowly(), headers=headers))
        await asyncio.sleep(0.2)
        refused = await client.post("/", content=b"x" * 200_000, headers=headers)
        few = await client.post("/", content=b"x" * 60_000, headers=headers)
        go_on.set()
        assert (await held).json() == 900_001
        again = await client.post("/", content=b"x" * 900_000, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "bodies-busy")
    assert (few.json(), again.json()) == (60_000, 900_000)
