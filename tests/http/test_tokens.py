"""Tokens: who has a key is given one, as OAuth 2.0 clients ask for it, and it allows what it should and no more."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.access.roles import Role

from .asking import problem
from .conftest import Gateway, serving

ASK = "/v1/status/490154203237518"
EIR = "/n5g-eir-eic/v1/equipment-status"
CERTIFICATE = f":{base64.b64encode(b'the DER of a certificate').decode()}:"
OTHER = f":{base64.b64encode(b'another').decode()}:"


def key_id(key: str) -> str:
    return key.removeprefix("imei_")[:10]


def wanted(key: str, **more: str) -> dict[str, str]:
    """The form that a client sends."""
    return {"grant_type": "client_credentials", "client_id": key_id(key), "client_secret": key, **more}


async def granted(client: httpx.AsyncClient, key: str, **more: str) -> dict[str, Any]:
    response = await client.post("/oauth2/token", data=wanted(key, **more))
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **more}


def refusal(response: httpx.Response, status: int, error: str) -> str:
    """What a refusal in the form of RFC 6749 says to people."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.headers["cache-control"] == "no-store"
    assert response.json().keys() == {"error", "error_description"}
    assert response.json()["error"] == error
    return str(response.json()["error_description"])


async def test_a_token_may_what_its_key_may(gateway, nobody):
    answer = await nobody.post("/oauth2/token", data=wanted(gateway.keys["carrier"]))
    told = answer.json()
    assert (answer.headers["cache-control"], told["token_type"], told["expires_in"]) == (
        "no-store",
        "Bearer",
        3600,
    )
    assert told["scope"].split() == [
        "blocklist:read",
        "device-authenticity:check-status",
        "n5g-eir-eic",
        "sightings:write",
        "status:read",
    ]
    assert (await nobody.get(ASK, headers=bearer(told["access_token"]))).status_code == 200
    problem(
        await nobody.get("/v1/incidents", headers=bearer(told["access_token"])), 403, "permission-missing"
    )


async def test_a_scope_narrows_it(gateway, nobody):
    told = await granted(nobody, gateway.keys["carrier"], scope="n5g-eir-eic n5g-eir-eic")
    assert told["scope"] == "n5g-eir-eic"
    headers = bearer(told["access_token"])
    assert (await nobody.get(EIR, params={"pei": "mac-none"}, headers=headers)).status_code == 404
    refused = await nobody.get(ASK, headers=headers)
    assert "lacks the scope status:read" in problem(refused, 403, "scope-missing")["detail"]
    assert 'error="insufficient_scope", scope="status:read"' in refused.headers["www-authenticate"]


async def test_a_client_may_say_who_it_is_by_http_basic(gateway, nobody):
    key = gateway.keys["carrier"]
    answer = await nobody.post(
        "/oauth2/token", data={"grant_type": "client_credentials"}, auth=(key_id(key), key)
    )
    assert (await nobody.get(ASK, headers=bearer(answer.json()["access_token"]))).status_code == 200


async def test_parameters_that_nobody_knows_are_passed_over(gateway, nobody):
    """A 5G core's network functions send some of TS 29.510."""
    await granted(nobody, gateway.keys["carrier"], nfInstanceId="a", targetNfType="5G_EIR")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_secret": "a guess"}, 401, "invalid_client"),
        ({"client_secret": "imei_k_aaaaaaaa_" + "a" * 43}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"client_id": "k_aaaaaaaa"}, 401, "invalid_client"),
        ({"client_id": None, "client_secret": None}, 401, "invalid_client"),
        ({"scope": "incidents:approve"}, 400, "invalid_scope"),
        ({"scope": "status:read no-such"}, 400, "invalid_scope"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_in_the_words_of_oauth(gateway, nobody, change, status, error):
    form = {
        name: said for name, said in (wanted(gateway.keys["carrier"]) | change).items() if said is not None
    }
    answer = await nobody.post("/oauth2/token", data=form)
    assert refusal(answer, status, error)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_a_request_that_could_be_read_in_two_ways_is_refused(gateway, nobody):
    form = "&".join(f"{name}={said}" for name, said in wanted(gateway.keys["carrier"]).items())
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for content in (f"{form}&scope=status:read&scope=n5g-eir-eic", "\xff", ""):
        answer = await nobody.post("/oauth2/token", content=content.encode("latin-1"), headers=headers)
        refusal(answer, 400, "invalid_request")
    refusal(await nobody.post("/oauth2/token", json=wanted(gateway.keys["carrier"])), 400, "invalid_request")
    both = await nobody.post("/oauth2/token", data=wanted(gateway.keys["carrier"]), auth=("a", "b"))
    refusal(both, 400, "invalid_request")


@pytest.mark.parametrize("said", ["Basic", "Basic x", "Basic OnNlY3JldA==", "Bearer x", "Basic //8="])
async def test_who_does_not_say_who_he_is_is_not_known(nobody, said):
    answer = await nobody.post(
        "/oauth2/token", data={"grant_type": "client_credentials"}, headers={"authorization": said}
    )
    refusal(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_token_ends_with_its_key(gateway, nobody):
    made = await gateway.new_key(Role.CARRIER)
    headers = bearer((await granted(nobody, made.key))["access_token"])
    assert (await nobody.get(ASK, headers=headers)).status_code == 200
    await gateway.revoke(made.key_id)
    refused = await nobody.get(ASK, headers=headers)
    problem(refused, 401, "token-unknown")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    refusal(await nobody.post("/oauth2/token", data=wanted(made.key)), 401, "invalid_client")


async def test_a_token_ends_with_its_time(gateway, nobody):
    made = await gateway.new_key(Role.CARRIER)
    headers = bearer((await granted(nobody, made.key))["access_token"])
    await gateway.execute(
        "UPDATE access_token SET expires_at = expires_at - interval '1 hour' WHERE key_id = $1", made.key_id
    )
    problem(await nobody.get(ASK, headers=headers), 401, "token-unknown")


async def test_a_token_gets_no_token(gateway, nobody):
    key = gateway.keys["carrier"]
    token = (await granted(nobody, key))["access_token"]
    refusal(await nobody.post("/oauth2/token", data=wanted(key, client_secret=token)), 401, "invalid_client")


async def test_it_is_the_same_person_who_comes_with_a_key_and_with_its_token(gateway, admin, nobody):
    """Two people decide, and a token makes nobody two."""
    draft = await admin.post("/v1/incidents", json={"title": "Alone", "scope": {"serials": ["ALONE"]}})
    path = f"/v1/incidents/{draft.json()['id']}"
    assert (await admin.post(f"{path}/submit")).status_code == 200
    headers = bearer((await granted(nobody, gateway.keys["admin"]))["access_token"])
    problem(await nobody.post(f"{path}/approve", headers=headers), 403, "second-person")


async def test_who_was_given_what_is_on_the_record_without_the_token(gateway, nobody, auditor):
    made = await gateway.new_key(Role.CARRIER)
    told = await granted(nobody, made.key, scope="status:read")
    found = (await auditor.get("/v1/audit/entries", params={"subject": f"key:{made.key_id}"})).json()
    assert [(it["body"]["kind"], it["body"]["detail"]["scopes"]) for it in found["entries"]] == [
        ("token.issued", ["status:read"])
    ]
    assert told["access_token"] not in str(found)


async def test_certificates_are_not_believed_of_anybody(gateway, nobody):
    """This gateway trusts no proxy: what a client says of itself binds nothing and opens nothing."""
    key = gateway.keys["carrier"]
    answer = await nobody.post("/oauth2/token", data=wanted(key), headers={"client-cert": CERTIFICATE})
    assert (await nobody.get(ASK, headers=bearer(answer.json()["access_token"]))).status_code == 200


@pytest.fixture(scope="module")
async def behind_proxy(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway whose proxy is on this machine."""
    folder = tmp_path_factory.mktemp("proxied")
    async with serving(cluster, template, folder, "web", trusted_proxies="10.0.0.0/8, 127.0.0.1") as gateway:
        yield gateway


async def test_a_token_that_was_had_with_a_certificate_is_good_with_that_one_alone(behind_proxy):
    nobody, key = behind_proxy["nobody"], behind_proxy.keys["carrier"]
    bound = {"client-cert": CERTIFICATE}
    answer = await nobody.post("/oauth2/token", data=wanted(key), headers=bound)
    token = answer.json()["access_token"]
    assert (await nobody.get(ASK, headers=bearer(token, **bound))).status_code == 200
    for headers in (bearer(token), bearer(token, **{"client-cert": OTHER})):
        problem(await nobody.get(ASK, headers=headers), 401, "token-unknown")
    entries = (await behind_proxy["auditor"].get("/v1/audit/entries")).json()["entries"]
    thumbprint = hashlib.sha256(b"the DER of a certificate").hexdigest()
    issued = [entry["body"] for entry in entries if entry["body"]["kind"] == "token.issued"]
    assert [body["detail"]["certificate"] for body in issued] == [thumbprint]


async def test_who_does_not_come_by_the_proxy_is_not_believed(behind_proxy):
    """A neighbour of the proxy, who knows the token and the certificate, which is no secret."""
    key, bound = behind_proxy.keys["carrier"], {"client-cert": CERTIFICATE}
    answer = await behind_proxy["nobody"].post("/oauth2/token", data=wanted(key), headers=bound)
    neighbour = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(base_url=behind_proxy.url, transport=neighbour) as client:
        headers = bearer(answer.json()["access_token"], **bound)
        problem(await client.get(ASK, headers=headers), 401, "token-unknown")


async def test_a_token_that_was_had_without_one_is_good_with_any(behind_proxy):
    nobody = behind_proxy["nobody"]
    token = (await granted(nobody, behind_proxy.keys["carrier"]))["access_token"]
    headers = bearer(token, **{"client-cert": OTHER})
    assert (await nobody.get(ASK, headers=headers)).status_code == 200


@pytest.mark.parametrize("said", ["", "::", ":*:", "AAAA", ":AAAA:, :AAAA:", ":AAA:"])
async def test_a_certificate_that_cannot_be_read_is_no_certificate(behind_proxy, said):
    nobody, key = behind_proxy["nobody"], behind_proxy.keys["carrier"]
    answer = await nobody.post("/oauth2/token", data=wanted(key), headers={"client-cert": said})
    refusal(answer, 400, "invalid_request")


async def test_whatever_is_wrong_is_told_in_the_words_of_oauth(nobody):
    """Where there is no such route or method, too."""
    refused = await nobody.get("/oauth2/token")
    assert "POST" in refusal(refused, 405, "invalid_request")
    assert refused.headers["allow"] == "OPTIONS, POST"
    refusal(await nobody.post("/oauth2/revoke"), 404, "invalid_request")
    large = {"content": b"x" * 16_385, "headers": {"content-type": "application/x-www-form-urlencoded"}}
    refusal(await nobody.post("/oauth2/token", **large), 413, "invalid_request")
