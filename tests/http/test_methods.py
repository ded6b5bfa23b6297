"""HEAD and OPTIONS: every path answers them, and truly."""

from __future__ import annotations

import asyncio

import pytest

from .asking import problem


@pytest.mark.parametrize(
    "path", ["/health/live", "/docs", "/openapi.json", "/v1/incidents", "/v1/partners/999999", "/"]
)
async def test_head_is_get_without_the_body(admin, path):
    wanted, headed = await admin.get(path), await admin.head(path)
    assert (headed.status_code, headed.content) == (wanted.status_code, b"")
    for name in ("content-type", "content-length", "location"):
        assert headed.headers.get(name) == wanted.headers.get(name)
    assert "x-request-id" in headed.headers


async def test_head_asks_for_the_same_key(nobody):
    assert (await nobody.head("/v1/incidents")).status_code == 401


async def test_head_waits_for_no_stream(manager):
    said = {"title": "t", "scope": {"serials": ["HEAD"]}}
    number = (await manager.post("/v1/incidents", json=said)).json()["id"]
    async with asyncio.timeout(5):
        response = await manager.head(f"/v1/incidents/{number}/events")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/incidents", "GET, HEAD, OPTIONS, POST"),
        ("/v1/partners/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/incidents/1/approve", "OPTIONS, POST"),
        ("/health/live", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_every_method(nobody, path, methods):
    response = await nobody.options(path)
    assert (response.status_code, response.headers["allow"], response.content) == (204, methods, b"")
    refused = await nobody.put(path)
    assert problem(refused, 405)["code"] == "method"
    assert refused.headers["allow"] == methods


async def test_options_of_nothing_is_404(nobody):
    problem(await nobody.options("/v1/nothing"), 404, "no-such-resource")
