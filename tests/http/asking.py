"""What the HTTP tests say to the gateway and how they read its refusals."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from app.api.dialect import Dialect
from app.api.figures import KEPT
from app.core import gs1, imei

PROBLEM = "application/problem+json"
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
_HEADER = "imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency"
_numbers = itertools.count(1)


@dataclass
class Stock:
    """Phones on one pallet that no other test has: two IMEIs each, 499.90 EUR."""

    pallet: str
    phones: list[tuple[str, str]]
    lines: list[str]

    @property
    def csv(self) -> bytes:
        return "\n".join([_HEADER, *self.lines, ""]).encode()

    @property
    def imeis(self) -> list[str]:
        return [number for phone in self.phones for number in phone]


def stock(count: int = 3, tac: int = 35_209900) -> Stock:
    """Some phones; `tac` decides which partners hear of them."""
    body = f"3{next(_numbers):016d}"
    pallet = f"{body}{gs1.check_digit(body)}"
    phones, lines = [], []
    for _ in range(count):
        number = next(_numbers)
        first, second = (imei.full(tac * 10**6 + 2 * number + place) for place in (0, 1))
        phones.append((first, second))
        lines.append(
            f"{first},{second},SN{number:06d},08806090000003,{pallet},PAR-1,Retailer,Phone X,499.90,EUR"
        )
    return Stock(pallet, phones, lines)


def problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal, which must be a whole one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["code"]
    if code is not None:
        assert body["code"] == code, body
    return body


def refusal(response: httpx.Response, status: int, code: str, dialect: Dialect | None) -> None:
    """A refusal in the form of a dialect, or else in ours."""
    if dialect is None:
        problem(response, status, code)
        return
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == dialect.media_type
    msgspec.json.decode(response.content, type=dialect.form)


def places(body: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by its place."""
    return {error.get("pointer", ""): error["detail"] for error in body["errors"]}


async def register(client: httpx.AsyncClient, goods: Stock) -> dict[str, Any]:
    response = await client.post("/v1/receipts", content=goods.csv, headers=CSV)
    assert response.status_code == 201, response.text
    receipt: dict[str, Any] = response.json()
    return receipt


async def drafted(client: httpx.AsyncClient, **scope: Any) -> int:
    response = await client.post("/v1/incidents", json={"title": "Night of 22 December", "scope": scope})
    assert response.status_code == 201, response.text
    number: int = response.json()["id"]
    return number


async def decided(client: httpx.AsyncClient, incident: int, verb: str, **said: Any) -> dict[str, Any]:
    response = await client.post(f"/v1/incidents/{incident}/{verb}", **({"json": said} if said else {}))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def statuses(client: httpx.AsyncClient, imeis: list[str]) -> list[str]:
    response = await client.post("/v1/status", json={"imeis": imeis})
    assert response.status_code == 200, response.text
    return [result["status"] for result in response.json()["results"]]


async def figures(client: httpx.AsyncClient) -> str:
    """What /metrics tells, made after this was asked."""
    await asyncio.sleep(KEPT)
    return (await client.get("/metrics")).text
