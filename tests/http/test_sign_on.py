"""People sign in by an OpenID provider, a real one on a socket of its own, which can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from .asking import problem
from .conftest import Gateway, serving
from .signing_in import a_browser, somebody

CLIENT, SECRET = "imei-gateway", "a secret of two"
BEGIN, HERE = "/v1/sign-on", "/v1/sessions/current"


class Provider:
    """Signs in whoever is `subject`; `lies` replace claims of the id_token, and `forge` makes another token of it."""

    def __init__(self) -> None:
        self.key, self.other = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
        self.url = ""
        self.subject: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.forge = ""
        self.asked: dict[str, dict[str, str]] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._metadata)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/token", self._token)
        return app

    async def _metadata(self, _: web.Request) -> web.Response:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return web.json_response(
            {name: f"{self.url}/{path}" for name, path in ends.items()}
            | {"issuer": self.url, "authorization_response_iss_parameter_supported": True}
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    def authorised(self, location: str, **said: str) -> str:
        """The way back, as the provider's page sends the browser after it has asked who it is."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert asked["code_challenge_method"] == "S256"
        code = f"code{len(self.asked)}"
        self.asked[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.url} | said
        return str(httpx.URL(asked["redirect_uri"], params=answer))

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.asked.pop(str(form["code"]), None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode().replace("\n", "")
        verifier = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if not asked or challenge != asked["code_challenge"] or basic not in request.headers["authorization"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 60}
        return web.json_response({"id_token": self._signed(claims | self.subject | self.lies)})

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.forge == "none":
            parts = [json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode()]
            return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        if self.forge == "hs256":
            # Signed with what everybody can read: the public key, taken for a secret of two.
            parts = [json.dumps({"alg": "HS256"}).encode(), json.dumps(claims).encode()]
            signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        return jwt.encode({"alg": "RS256"}, claims, self.other if self.forge else self.key)


@pytest.fixture(scope="module")
async def _provider() -> AsyncIterator[Provider]:
    found = Provider()
    runner = web.AppRunner(found.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture(scope="module")
async def linked(cluster, template, tmp_path_factory, _provider) -> AsyncIterator[Gateway]:
    told = {
        "oidc_issuer": _provider.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "oidc_second_factor": "mfa",
    }
    async with serving(cluster, template, tmp_path_factory.mktemp("linked"), "web", **told) as gateway:
        yield gateway


@pytest.fixture
def provider(_provider) -> Provider:
    _provider.subject, _provider.lies, _provider.forge = {}, {}, ""
    return _provider


@pytest.fixture
async def browser(linked) -> AsyncIterator[httpx.AsyncClient]:
    async with a_browser(linked) as client:
        yield client


async def begun(browser: httpx.AsyncClient, **said: Any) -> str:
    answer = await browser.get(BEGIN, params=said)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def known_as(email: str, **more: Any) -> dict[str, Any]:
    return {"sub": f"sub of {email}", "email": email, "email_verified": True, "amr": ["pwd", "mfa"]} | more


async def test_who_was_added_here_signs_in_there(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email)
    answer = await browser.get(provider.authorised(await begun(browser)))
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
    assert (await browser.get(HERE)).json()["person_id"] == marie.person_id
    # From now on his subject counts, whatever his address is there.
    browser.cookies.clear()
    provider.subject |= {"email": "other@retailer.example", "email_verified": False}
    assert (await browser.get(provider.authorised(await begun(browser)))).status_code == 303
    assert (await browser.get(HERE)).json()["person_id"] == marie.person_id


async def test_a_code_is_owed_where_the_provider_asked_for_none(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email, amr=["pwd"])
    answer = await browser.get(provider.authorised(await begun(browser)))
    assert answer.headers["location"] == "/?sign-on=code"
    problem(await browser.get(HERE), 401, "key-missing")
    finished = await browser.post(f"{BEGIN}/code", json={"code": await marie.next_code()})
    assert finished.status_code == 201, finished.text
    assert (await browser.get(HERE)).json()["person_id"] == marie.person_id


async def test_a_wrong_code_ends_the_sign_on(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email, amr=[])
    await browser.get(provider.authorised(await begun(browser)))
    problem(await browser.post(f"{BEGIN}/code", json={"code": "000000"}), 401, "sign-in-failed")
    late = await browser.post(f"{BEGIN}/code", json={"code": await marie.next_code()})
    problem(late, 401, "sign-on-unknown")


@pytest.mark.parametrize(
    "subject",
    [known_as("stranger@retailer.example"), {"sub": "x", "email_verified": False}],
    ids=["stranger", "not-verified"],
)
async def test_nobody_is_let_in_who_was_not_added(linked, provider, browser, subject):
    marie = await somebody(linked)
    provider.subject = {"email": marie.email} | subject
    answer = await browser.get(provider.authorised(await begun(browser)))
    problem(answer, 403, "person-unknown")
    problem(await browser.get(HERE), 401)


async def test_an_address_that_is_linked_is_not_taken_by_another(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email)
    assert (await browser.get(provider.authorised(await begun(browser)))).status_code == 303
    browser.cookies.clear()
    provider.subject = known_as(marie.email, sub="another")
    answer = await browser.get(provider.authorised(await begun(browser)))
    problem(answer, 403, "person-unknown")


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"aud": "somebody else"},
        {"aud": [CLIENT, "somebody else"]},
        {"azp": "somebody else"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": "never"},
        {"iat": 2**40},
        {"sub": ""},
    ],
    ids=["nonce", "aud", "auds", "azp", "iss", "over", "exp", "iat", "sub"],
)
async def test_a_token_of_something_else_is_refused(linked, provider, browser, lies):
    marie = await somebody(linked)
    provider.subject, provider.lies = known_as(marie.email), lies
    answer = await browser.get(provider.authorised(await begun(browser)))
    problem(answer, 401, "sign-on-unknown")
    assert "imei-session" not in browser.cookies


@pytest.mark.parametrize("forge", ["none", "hs256", "other-key"])
async def test_a_token_that_the_provider_did_not_sign_is_refused(linked, provider, browser, forge):
    marie = await somebody(linked)
    provider.subject, provider.forge = known_as(marie.email), forge
    answer = await browser.get(provider.authorised(await begun(browser)))
    problem(answer, 401, "sign-on-unknown")


@pytest.mark.parametrize(
    "said", [{"state": "another"}, {"iss": "https://evil.example"}, {"code": "another"}], ids=str
)
async def test_what_comes_back_otherwise_is_refused(linked, provider, browser, said):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email)
    answer = await browser.get(provider.authorised(await begun(browser), **said))
    problem(answer, 401, "sign-on-unknown")


async def test_it_comes_back_once_and_to_the_browser_that_began(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email)
    way = provider.authorised(await begun(browser))
    async with a_browser(linked) as victim:
        problem(await victim.get(way), 401, "sign-on-unknown")
    assert (await browser.get(way)).status_code == 303
    browser.cookies.delete("imei-session")
    problem(await browser.get(way), 401, "sign-on-unknown")


async def test_a_step_up_is_asked_for_anew_and_must_be_of_now(linked, provider, browser):
    marie = await somebody(linked)
    provider.subject = known_as(marie.email)
    await browser.get(provider.authorised(await begun(browser)))
    first = browser.cookies["imei-session"]
    location = await begun(browser, step_up="true")
    asked = parse_qs(urlsplit(location).query)
    assert (asked["max_age"], asked["prompt"]) == (["0"], ["login"])
    provider.subject["auth_time"] = int(time.time()) - 600
    problem(await browser.get(provider.authorised(location)), 403, "step-up-needed")
    provider.subject["auth_time"] = int(time.time())
    location = await begun(browser, step_up="true")
    answer = await browser.get(provider.authorised(location))
    assert answer.status_code == 303, answer.text
    assert browser.cookies["imei-session"] != first


async def test_without_a_provider_there_is_no_sign_on(gateway):
    async with a_browser(gateway) as browser:
        problem(await browser.get(BEGIN), 404, "no-provider")
