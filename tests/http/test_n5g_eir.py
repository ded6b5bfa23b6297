"""What 5G cores ask (3GPP TS 29.511), over HTTP/1.1 and HTTP/2: one handset has one answer, and refusals are 3GPP's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.access.roles import Role
from app.api.dialects.n5g_eir import DIALECT
from app.api.problems import Problem
from app.core import imei

from .asking import PROBLEM
from .conftest import Gateway, serving
from .published import EIR_RESPONSE_DATA, PROBLEM_DETAILS, fits, told

PEI = "/n5g-eir-eic/v1/equipment-status"
WORDS = {"blocked": "BLACKLISTED", "suspect": "GREYLISTED", "clear": "WHITELISTED"}


def refused(response: httpx.Response, status: int, cause: str | None) -> dict[str, Any]:
    """3GPP's problem document of a refusal."""
    body = told(response, status, PROBLEM_DETAILS, PROBLEM)
    assert (body["status"], body.get("cause")) == (status, cause), body
    return body


def said(response: httpx.Response) -> str:
    return str(told(response, 200, EIR_RESPONSE_DATA)["status"])


async def test_it_says_it_in_its_words(carrier, ladder):
    for status, word in WORDS.items():
        number = ladder[status]
        for pei in (f"imei-{number}", f"imei-{number[:14]}0", f"imeisv-{number[:14]}07"):
            assert said(await carrier.get(PEI, params={"pei": pei})) == word


async def test_who_uses_the_device_changes_nothing(carrier, ladder):
    """No feature is negotiated, so none is answered; what TS 29.511 does not know may stand there too."""
    known = {"supi": "imsi-001010000000001", "gpsi": "msisdn-33600000000", "supported-features": "0F"}
    for more in (known, {"supi": "nai-x@y.z", "gpsi": "extid-a@b.c"}, {"supported-features": ""}, {"x": "1"}):
        assert (
            said(await carrier.get(PEI, params={"pei": f"imei-{ladder['blocked']}", **more})) == "BLACKLISTED"
        )
    twice = f"{PEI}?pei=imei-{ladder['suspect']}&x=1&x=%FF"
    assert said(await carrier.get(twice)) == "GREYLISTED"


async def test_unknown_equipment(carrier, ladder):
    for pei in (
        f"imei-{ladder['unknown']}",
        "mac-00-00-5E-00-53-00",
        "eui-00-00-5E-10-00-00-00-00",
        "anything",
    ):
        refused(await carrier.get(PEI, params={"pei": pei}), 404, "ERROR_EQUIPMENT_UNKNOWN")


@pytest.fixture(scope="module")
async def lenient(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway of an operator who lets unknown equipment in."""
    folder = tmp_path_factory.mktemp("lenient")
    async with serving(cluster, template, folder, "web", unknown_equipment="WHITELISTED") as gateway:
        yield gateway


async def test_unknown_equipment_is_what_the_operator_says(lenient):
    for pei in ("imei-352099000000007", "mac-00-00-5E-00-53-00-untrusted", "anything"):
        assert said(await lenient["carrier"].get(PEI, params={"pei": pei})) == "WHITELISTED"
    refused(await lenient["carrier"].get(PEI), 400, "MANDATORY_QUERY_PARAM_MISSING")


@pytest.mark.parametrize(
    ("query", "cause", "param"),
    [
        ("", "MANDATORY_QUERY_PARAM_MISSING", "pei"),
        ("PEI=imei-352099000000007", "MANDATORY_QUERY_PARAM_MISSING", "pei"),
        ("pei=", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imei-12", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imei-3520990000000071", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imei-%EF%BC%93%EF%BC%9552099000000007", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imeisv-352099000000007", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imei-352099000000007%0A", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=imei-352099000000007&pei=imei-352099000000007", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=%FF", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=mac%00", "MANDATORY_QUERY_PARAM_INCORRECT", "pei"),
        ("pei=x&supi=%FF", "OPTIONAL_QUERY_PARAM_INCORRECT", "supi"),
        ("pei=x&supi=", "OPTIONAL_QUERY_PARAM_INCORRECT", "supi"),
        ("pei=x&gpsi=a&gpsi=b", "OPTIONAL_QUERY_PARAM_INCORRECT", "gpsi"),
        ("pei=x&supported-features=XYZ", "OPTIONAL_QUERY_PARAM_INCORRECT", "supported-features"),
    ],
)
async def test_wrong_questions_are_told_which_parameter(carrier, query, cause, param):
    body = refused(await carrier.get(f"{PEI}?{query}"), 400, cause)
    [invalid] = body["invalidParams"]
    assert invalid["param"] == f"query {param}"
    assert len(invalid["reason"]) > 10
    assert "`" not in invalid["reason"]


async def test_who_may_not_ask_is_told_so_in_its_form(gateway, nobody, goods_in):
    missing = await nobody.get(PEI, params={"pei": "x"})
    refused(missing, 401, None)
    assert missing.headers["www-authenticate"] == 'Bearer realm="imei-gateway"'
    unknown = {"authorization": "Bearer imei_k_aaaaaaaa_" + "a" * 43}
    wrong = await nobody.get(PEI, params={"pei": "x"}, headers=unknown)
    refused(wrong, 401, None)
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert "goods-in" in refused(await goods_in.get(PEI, params={"pei": "x"}), 403, None)["detail"]


async def test_a_token_without_the_scope_is_told_which(gateway, nobody):
    key = gateway.keys["carrier"]
    form = {"grant_type": "client_credentials", "client_id": key[5:15], "client_secret": key}
    made = (await nobody.post("/oauth2/token", data={**form, "scope": "status:read"})).json()
    headers = {"authorization": f"Bearer {made['access_token']}"}
    answer = await nobody.get(PEI, params={"pei": "x"}, headers=headers)
    refused(answer, 403, None)
    assert 'error="insufficient_scope", scope="n5g-eir-eic"' in answer.headers["www-authenticate"]


async def test_a_quota_that_is_used_up_may_lead_to_congestion(gateway):
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 1 WHERE key_id = $1", made.key_id)
    headers = {"authorization": f"Bearer {made.key}"}
    async with gateway.bare() as client:
        await client.get(gateway.url + PEI, params={"pei": "x"}, headers=headers)
        answer = await client.get(gateway.url + PEI, params={"pei": "x"}, headers=headers)
    refused(answer, 429, "NF_CONGESTION_RISK")
    assert int(answer.headers["retry-after"]) > 0


async def test_other_paths_and_methods_are_refused_in_its_form(carrier):
    refused(await carrier.get("/n5g-eir-eic/v1/nothing"), 404, None)
    refused(await carrier.get("/n5g-eir-eic/v2/equipment-status"), 404, None)
    answer = await carrier.post(PEI, params={"pei": "x"})
    refused(answer, 405, None)
    assert "GET" in answer.headers["allow"]


def test_a_failure_of_ours_is_a_failure_of_the_system():
    request: Any = None
    for status, cause in ((500, "SYSTEM_FAILURE"), (503, ""), (400, "INVALID_MSG_FORMAT")):
        body = DIALECT.refusal(request, Problem("t", status, "d", "c"))
        assert body.cause == cause  # type: ignore[attr-defined]


digits = st.integers(0, 10**14 - 1)
HANDSETS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def core(gateway) -> Any:
    """A core that asks one question after the other."""
    headers = {"authorization": f"Bearer {gateway.keys['carrier']}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def answer(response: httpx.Response) -> tuple[int, str]:
    """The status and the word of an answer, which must be in form."""
    assert response.status_code in (200, 400, 404), response.text
    if response.status_code == 200:
        return 200, said(response)
    body = told(response, response.status_code, PROBLEM_DETAILS, PROBLEM)
    assert (body["cause"] == "MANDATORY_QUERY_PARAM_INCORRECT") == (response.status_code == 400)
    assert ("invalidParams" in body) == (response.status_code == 400)
    return response.status_code, body["cause"]


@given(data=st.data())
@HANDSETS
def test_one_handset_has_one_answer(core, ladder, data):
    """Those that we know and those that we do not, whatever stands behind the 14 digits."""
    known = st.sampled_from([int(number[:14]) for number in ladder.values()])
    key = data.draw(known | digits)
    last, version = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 99))
    forms = [
        f"imei-{key:014d}0",
        f"imei-{imei.full(key)}",
        f"imei-{key:014d}{last}",
        f"imeisv-{key:014d}{version:02d}",
    ]
    answers = {answer(core.get(PEI, params={"pei": pei})) for pei in forms}
    assert len(answers) == 1
    expected = {int(number[:14]): status for status, number in ladder.items()}.get(key, "unknown")
    assert answers == {(200, WORDS[expected])} if expected in WORDS else {(404, "ERROR_EQUIPMENT_UNKNOWN")}


OCTET = st.from_regex(r"[0-9a-fA-F]{2}", fullmatch=True)
PEIS = st.one_of(
    st.from_regex(r"imei-[0-9]{13,17}", fullmatch=True),
    st.from_regex(r"imeisv-[0-9]{14,18}", fullmatch=True),
    st.from_regex(r"imei(sv)?-\w{15,16}", fullmatch=True),
    st.lists(OCTET, min_size=6, max_size=6).map(lambda octets: "mac-" + "-".join(octets) + "-untrusted"),
    st.lists(OCTET, min_size=8, max_size=8).map(lambda octets: "eui-" + "-".join(octets)),
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=20).map("imei-{}".format),
)


@given(pei=PEIS)
@HANDSETS
def test_whatever_is_asked_is_answered_or_refused_in_form(core, pei):
    status, _ = answer(core.get(PEI, params={"pei": pei}))
    names_one = pei.startswith(("imei-", "imeisv-"))
    written = pei.isascii() and (
        (pei.startswith("imei-") and len(pei) == 20 and pei[5:].isdigit())
        or (pei.startswith("imeisv-") and len(pei) == 23 and pei[7:].isdigit())
    )
    assert (status == 400) == ((names_one and not written) or not pei or "\0" in pei)


async def test_a_5g_core_speaks_http_2(gateway, ladder):
    headers = {"authorization": f"Bearer {gateway.keys['carrier']}"}
    async with httpx.AsyncClient(
        base_url=gateway.url, http1=False, http2=True, headers=headers, trust_env=False
    ) as core:
        asked = [core.get(PEI, params={"pei": f"imei-{ladder['blocked']}"}) for _ in range(20)]
        for response in await asyncio.gather(*asked):
            assert response.http_version == "HTTP/2"
            assert said(response) == "BLACKLISTED"


def test_the_shapes_are_closed():
    with pytest.raises(Exception, match="Additional"):
        fits({"status": "WHITELISTED", "supportedFeatures": "0"}, EIR_RESPONSE_DATA)
