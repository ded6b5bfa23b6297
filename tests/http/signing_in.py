"""A person as the tests play him: enrolled by an invitation, with an app that shows codes, and a browser."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyotp

from .conftest import Gateway

PASSWORD = "seven grey herons"
_numbers = itertools.count(1)


@dataclass
class Somebody:
    """A person, and what he needs to sign in."""

    gateway: Gateway
    person_id: str
    email: str
    secret: str
    recovery_codes: list[str]
    password: str = PASSWORD
    browsers: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def code(self) -> str:
        return pyotp.TOTP(self.secret).now()

    async def next_code(self) -> str:
        """A code that is taken: thirty seconds are over for him."""
        await self.gateway.execute("UPDATE person SET totp_step = 0 WHERE person_id = $1", self.person_id)
        return self.code

    def code_at(self, seconds: float) -> str:
        return pyotp.TOTP(self.secret).at(int(time.time() + seconds))

    async def said(self, **other: str) -> dict[str, str]:
        proofs = {} if "recovery_code" in other or "code" in other else {"code": await self.next_code()}
        return {"email": self.email, "password": self.password, **proofs, **other}


def a_browser(gateway: Gateway, **more: Any) -> httpx.AsyncClient:
    """One that nobody knows yet; it says where its pages are from, as browsers do."""
    return httpx.AsyncClient(
        base_url=gateway.url, headers={"origin": gateway.url}, timeout=30, trust_env=False, **more
    )


async def somebody(gateway: Gateway, role: str = "approver", **more: Any) -> Somebody:
    """A person who has enrolled."""
    email = f"person{next(_numbers)}@retailer.example"
    said = {"name": f"Number {email.partition('@')[0]}", "email": email, "role": role, **more}
    added = await gateway["admin"].post("/v1/people", json=said)
    assert added.status_code == 201, added.text
    token = added.json()["token"]
    async with a_browser(gateway) as browser:
        chosen = await browser.post("/v1/enrolments", json={"token": token, "password": PASSWORD})
        assert chosen.status_code == 200, chosen.text
        secret = chosen.json()["secret"]
        code = pyotp.TOTP(secret).now()
        confirmed = await browser.post("/v1/enrolments/confirm", json={"token": token, "code": code})
        assert confirmed.status_code == 200, confirmed.text
    return Somebody(gateway, added.json()["person_id"], email, secret, confirmed.json()["recovery_codes"])


async def signed_in(who: Somebody, browser: httpx.AsyncClient) -> dict[str, Any]:
    """He signs in; the browser then says the CSRF token, as the console's pages do."""
    answer = await browser.post("/v1/sessions", json=await who.said())
    assert answer.status_code == 201, answer.text
    browser.headers["x-csrf-token"] = answer.json()["csrf_token"]
    found: dict[str, Any] = answer.json()
    return found
