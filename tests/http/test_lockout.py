"""Guessing is slow and gets nowhere, and nobody is kept out by what others guess."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.access import lockout

from .asking import problem
from .conftest import Gateway, serving
from .signing_in import Somebody, a_browser, signed_in, somebody


@pytest.fixture(scope="module")
async def behind_proxy(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("guessed")
    async with serving(cluster, template, folder, "web", trusted_proxies="127.0.0.1") as gateway:
        yield gateway


async def guess(client: httpx.AsyncClient, who: Somebody, source: str) -> httpx.Response:
    said = {"email": who.email, "password": "no such password", "code": "000000"}
    headers = {"x-forwarded-for": source}
    return await client.post("/v1/sessions", json=said, headers=headers)


async def test_the_owner_signs_in_while_others_guess_from_everywhere(behind_proxy):
    """And they close his account for browsers that he has never used."""
    marie = await somebody(behind_proxy)
    async with a_browser(behind_proxy) as own, a_browser(behind_proxy) as thief:
        await signed_in(marie, own)
        answers = [
            await guess(thief, marie, f"203.0.113.{number}") for number in range(lockout.OF_ACCOUNT + 5)
        ]
        assert [one.status_code for one in answers] == [401] * lockout.OF_ACCOUNT + [429] * 5
        assert 0 < int(answers[-1].headers["retry-after"]) <= lockout.WINDOW
        elsewhere = await thief.post("/v1/sessions", json=await marie.said())
        problem(elsewhere, 429, "sign-in-closed")
        own.cookies.delete("imei-session")
        await signed_in(marie, own)


async def test_a_stolen_browser_cookie_opens_nothing_of_others(behind_proxy):
    marie, paul = await somebody(behind_proxy), await somebody(behind_proxy)
    async with a_browser(behind_proxy) as own:
        await signed_in(marie, own)
        own.cookies.delete("imei-session")
        for number in range(lockout.OF_ACCOUNT):
            problem(await guess(own, paul, f"198.51.100.{number}"), 401, "sign-in-failed")
        problem(await guess(own, paul, "198.51.100.200"), 429, "sign-in-closed")


async def test_a_known_browser_that_guesses_is_closed_alone(behind_proxy):
    marie = await somebody(behind_proxy)
    async with a_browser(behind_proxy) as stolen, a_browser(behind_proxy) as own:
        await signed_in(marie, stolen)
        await signed_in(marie, own)
        stolen.cookies.delete("imei-session")
        own.cookies.delete("imei-session")
        answers = [await guess(stolen, marie, "192.0.2.1") for _ in range(lockout.OF_BROWSER + 1)]
        assert [one.status_code for one in answers] == [401] * lockout.OF_BROWSER + [429]
        await signed_in(marie, own)


async def test_one_source_tries_an_account_five_times(behind_proxy):
    marie = await somebody(behind_proxy)
    async with a_browser(behind_proxy) as thief:
        # What he invents before the proxy's word changes nothing.
        answers = [await guess(thief, marie, f"10.9.8.{number}, 192.0.2.77") for number in range(7)]
        of_source = lockout.OF_ACCOUNT_AT_SOURCE
        assert [one.status_code for one in answers] == [401] * of_source + [429] * (7 - of_source)
        assert (await guess(thief, marie, "192.0.2.78")).status_code == 401


async def test_one_source_tries_many_accounts_no_longer(behind_proxy):
    async with a_browser(behind_proxy) as thief:
        nobodies = [Somebody(behind_proxy, "", f"nobody{number}@x.example", "", []) for number in range(60)]
        answers = [await guess(thief, one, "192.0.2.99") for one in nobodies]
        assert [one.status_code for one in answers].count(401) == lockout.OF_SOURCE


async def test_who_comes_by_no_proxy_forges_no_address(gateway):
    marie = await somebody(gateway)
    async with a_browser(gateway) as thief:
        answers = [await guess(thief, marie, f"203.0.113.{number}") for number in range(7)]
    of_source = lockout.OF_ACCOUNT_AT_SOURCE
    assert [one.status_code for one in answers] == [401] * of_source + [429] * (7 - of_source)
    await gateway.execute("UPDATE sign_in_try SET tries = 0 WHERE tries > 0")


async def test_after_a_while_all_is_as_before(behind_proxy):
    marie = await somebody(behind_proxy)
    async with a_browser(behind_proxy) as browser:
        for _ in range(lockout.OF_ACCOUNT_AT_SOURCE + 1):
            answer = await guess(browser, marie, "192.0.2.55")
        problem(answer, 429, "sign-in-closed")
        await behind_proxy.execute("UPDATE sign_in_try SET until = now()")
        headers = {"x-forwarded-for": "192.0.2.55"}
        signed = await browser.post("/v1/sessions", json=await marie.said(), headers=headers)
        assert signed.status_code == 201, signed.text
        entries = (await behind_proxy["auditor"].get("/v1/audit/entries", params={"limit": 10_000})).json()
        closed = [one["body"] for one in entries["entries"] if one["body"]["kind"] == "sign-in.closed"]
        assert [body["detail"] for body in closed if body["subject"] == f"person:{marie.person_id}"] == [
            {"of": "account-at-source", "source": "192.0.2.0/24"}
        ]
