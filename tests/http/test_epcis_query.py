"""Every query parameter of `GET /epcis/events`: what it finds, what it leaves out, and what it refuses."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from .conftest import Gateway
from .test_epcis import captured, event, exception, query

ONE = "urn:gsma:imei:35209902-000001-0"
UNIT = "https://id.gs1.org/01/09506000134352/21/Q-1"
PALLET = "urn:epc:id:sscc:0614141.1888888888"
HALL = "https://id.gs1.org/414/9506000134369/254/HALL-9"
DOCK = "https://wms.example/dock/9"
WRONG = {"declarationTime": "2026-12-22T10:00:00Z", "reason": "did_not_occur"}


@pytest.fixture(scope="module")
async def names(gateway: Gateway) -> dict[str, str]:
    """Events that differ in all that can be asked for: short names by their identities."""
    told: dict[str, dict[str, Any]] = {
        "received": event(
            action="ADD", bizStep="receiving", epcList=[ONE, UNIT], bizLocation={"id": HALL},
            eventTime="2020-01-01T00:00:00Z",
        ),
        "stolen": event(
            epcList=[ONE], persistentDisposition={"set": ["stolen"], "unset": ["active"]}, readPoint={"id": DOCK},
            eventTime="2020-01-02T00:00:00Z", disposition="https://ref.gs1.org/cbv/Disp-unavailable",
        ),
        "packed": event(
            type="AggregationEvent", action="ADD", bizStep="packing", parentID=PALLET, childEPCs=[UNIT],
            eventTime="2020-01-03T00:00:00Z",
        ),
        "made": event(
            type="TransformationEvent", inputEPCList=[ONE], outputEPCList=[UNIT], eventTime="2020-01-04T00:00:00Z",
            bizStep="https://wms.example/steps/weighing",
        ),
        "wrong": event(epcList=[UNIT], eventTime="2020-01-05T00:00:00Z", errorDeclaration=WRONG),
    }  # fmt: skip
    for name in ("packed", "made"):
        del told[name]["epcList"]
    del told["made"]["action"]
    job = await captured(gateway["goods-in"], *told.values())
    assert job["success"], job
    return {one["eventID"]: name for name, one in told.items()}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "received stolen packed made wrong"),
        ({"eventType": "AggregationEvent|TransformationEvent"}, "packed made"),
        ({"GE_eventTime": "2020-01-02T00:00:00Z"}, "stolen packed made wrong"),
        ({"LT_eventTime": "2020-01-02T01:00:00+01:00"}, "received"),
        ({"LT_recordTime": "2020-01-01T00:00:00Z"}, ""),
        ({"GE_recordTime": "2020-01-01T00:00:00Z"}, "received stolen packed made wrong"),
        ({"EQ_action": "ADD"}, "received packed"),
        ({"EQ_action": "ADD|OBSERVE"}, "received stolen packed wrong"),
        ({"EQ_bizStep": "receiving"}, "received"),
        ({"EQ_bizStep": "urn:epcglobal:cbv:bizstep:packing|receiving"}, "received packed"),
        ({"EQ_bizStep": "https://wms.example/steps/weighing"}, "made"),
        ({"EQ_disposition": "unavailable"}, "stolen"),
        ({"EQ_persistentDisposition_set": "stolen"}, "stolen"),
        ({"EQ_persistentDisposition_set": "active"}, ""),
        ({"EQ_persistentDisposition_unset": "active"}, "stolen"),
        ({"EQ_readPoint": DOCK}, "stolen"),
        ({"EQ_bizLocation": HALL}, "received"),
        ({"EQ_bizLocation": "urn:epc:id:sgln:9506000.13436.HALL-9"}, "received"),
        ({"EQ_bizLocation": "urn:epc:id:sgln:9506000.13436.0"}, ""),
        ({"MATCH_epc": ONE}, "received stolen"),
        ({"MATCH_epc": "https://id.gs1.org/8002/352099020000011"}, ""),
        ({"MATCH_epc": "https://id.gs1.org/8002/352099020000010"}, "received stolen"),
        ({"MATCH_epc": UNIT}, "received packed wrong"),
        ({"MATCH_epc": "urn:epc:id:sgtin:9506000.013435.Q-1"}, "received packed wrong"),
        ({"MATCH_epc": PALLET}, ""),
        ({"MATCH_epc": "352099020000010"}, "received stolen"),
        ({"MATCH_epc": "352099020000010|106141418888888880"}, "received stolen"),
        ({"MATCH_parentID": "106141418888888880"}, "packed"),
        ({"MATCH_anyEPC": "106141418888888880|352099020000010"}, "received stolen packed made"),
        ({"MATCH_parentID": "https://id.gs1.org/00/106141418888888880"}, "packed"),
        ({"MATCH_anyEPC": ONE}, "received stolen made"),
        ({"MATCH_anyEPC": f"{PALLET}|urn:x:other"}, "packed"),
        ({"EXISTS_errorDeclaration": "true"}, "wrong"),
        ({"EXISTS_errorDeclaration": "false", "EQ_action": "OBSERVE"}, "stolen wrong"),
        ({"MATCH_epc": UNIT, "EQ_action": "ADD", "eventType": "ObjectEvent"}, "received"),
    ],
)
async def test_what_is_found(auditor, names, wanted, found):
    only_ours = {"EQ_eventID": "|".join(names), "perPage": 1000}
    assert [names[one["eventID"]] for one in await query(auditor, **only_ours, **wanted)] == found.split()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"EQ_bizstep": "receiving"}, "EQ_bizstep"),
        ({"eventType": "SensorEvent"}, "eventType"),
        ({"EQ_action": "GIVE"}, "EQ_action"),
        ({"EQ_action": "ADD|"}, "EQ_action"),
        ({"EQ_bizStep": "stealing"}, "EQ_bizStep"),
        ({"EQ_disposition": "receiving"}, "EQ_disposition"),
        ({"GE_eventTime": "2020-01-01"}, "GE_eventTime"),
        ({"LT_recordTime": "1577836800"}, "LT_recordTime"),
        ({"MATCH_epc": "35209902"}, "MATCH_epc"),
        ({"MATCH_epc": "352099020000011"}, "MATCH_epc"),
        ({"MATCH_epc": "urn:epc:idpat:sgtin:9506000.013435.*"}, "MATCH_epc"),
        ({"MATCH_anyEPC": "urn:gsma:imei:49015420-323751-7"}, "MATCH_anyEPC"),
        ({"EXISTS_errorDeclaration": "perhaps"}, "EXISTS_errorDeclaration"),
        ({"perPage": "0"}, "perPage"),
        ({"perPage": "1001"}, "perPage"),
        ({"nextPageToken": "x"}, "nextPageToken"),
        ({"orderBy": "eventTime"}, "orderBy"),
    ],
)
async def test_what_is_refused(auditor, wanted, name):
    body = exception(
        await auditor.get("/epcis/events", params=wanted), 400, "QueryParameterException", "query-wrong"
    )
    assert [error["pointer"] for error in body["errors"]] == [name]


async def test_all_that_is_wrong_with_a_query_is_named(auditor):
    wanted = {"EQ_action": "GIVE", "EQ_bizStep": "x", "GE_eventTime": "y"}
    body = exception(await auditor.get("/epcis/events", params=wanted), 400, "QueryParameterException")
    assert {error["pointer"] for error in body["errors"]} == set(wanted)


async def test_a_parameter_twice_is_refused(auditor):
    response = await auditor.get("/epcis/events?EQ_action=ADD&EQ_action=OBSERVE")
    exception(response, 400, "QueryParameterException", "query-wrong")


async def test_a_big_capture_holds_nobody_up(goods_in, carrier):
    """While a full capture is read and stored, status questions go on being answered."""
    slowest = 0.0
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(captured(goods_in, *[event() for _ in range(1000)]))
        while not sending.done():
            began = time.monotonic()
            assert (await carrier.get("/v1/status/490154203237518")).status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert sending.result()["success"] is True
    assert slowest < 1.0
