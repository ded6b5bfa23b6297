"""What browsers are told of every answer, lest they take data for a page, or tell others what was asked."""

from __future__ import annotations

import pytest

from .conftest import serving

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize(
    "path",
    ["/v1/status/490154203237518", "/v1/receipts", "/nowhere", "/health/live", "/metrics", "/openapi.json"],
)
async def test_every_answer_is_data_and_no_page(carrier, path):
    answer = await carrier.get(path)
    assert {name: answer.headers.get(name) for name in SAFE} == SAFE
    assert [name for name, _ in answer.headers.multi_items() if name == "content-security-policy"] == [
        "content-security-policy"
    ]
    assert "strict-transport-security" not in answer.headers


async def test_the_one_page_says_what_it_needs_and_nothing_twice(nobody):
    answer = await nobody.get("/docs")
    (policy,) = answer.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; style-src")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_where_people_come_by_tls_their_browsers_come_by_nothing_else(cluster, template, tmp_path):
    there = {"public_url": "https://gateway.example"}
    async with serving(cluster, template, tmp_path, "web", **there) as gateway:
        for client in (gateway["carrier"], gateway["nobody"]):
            answer = await client.get("/v1/status/490154203237518")
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
