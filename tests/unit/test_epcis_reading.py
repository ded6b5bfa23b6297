"""EPCIS documents and events, read: what is taken, and every flaw with its place. Our JSON Schema agrees."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.epcis import schema
from app.core.errors import Flaw, Invalid, TooLarge
from app.epcis import stamp
from app.epcis.document import STANDARD_CONTEXT, read_alone, read_document, refuse_flaws
from app.epcis.events import Action, AggregationEvent, ObjectEvent
from app.epcis.reading import read_event

EPC = "urn:gsma:imei:49015420-323751-0"
PALLET = "https://id.gs1.org/00/106141412345678908"
NOW = datetime(2026, 12, 22, 2, 0, 0, 123456, tzinfo=UTC)
BASE = {"eventTime": "2026-12-21T10:00:00.000+01:00", "eventTimeZoneOffset": "+01:00"}
OBJECT = {"type": "ObjectEvent", "action": "OBSERVE", "epcList": [EPC], **BASE}
AGGREGATION = {"type": "AggregationEvent", "action": "ADD", "parentID": PALLET, "childEPCs": [EPC], **BASE}
TRANSACTION = {
    "type": "TransactionEvent", "action": "ADD", "epcList": [EPC],
    "bizTransactionList": [{"type": "po", "bizTransaction": "urn:x:po:1"}], **BASE,
}  # fmt: skip
TRANSFORMATION = {"type": "TransformationEvent", "inputEPCList": [EPC], "outputEPCList": [PALLET], **BASE}
ASSOCIATION = {"type": "AssociationEvent", "action": "ADD", "parentID": PALLET, "childEPCs": [EPC], **BASE}
KINDS = [OBJECT, AGGREGATION, TRANSACTION, TRANSFORMATION, ASSOCIATION]


def document(*events: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {
        "@context": [STANDARD_CONTEXT], "type": "EPCISDocument", "schemaVersion": "2.0",
        "creationDate": "2026-12-21T10:05:00Z", "epcisBody": {"eventList": list(events)}, **other,
    }  # fmt: skip


def read(value: dict[str, Any], limit: int = 100):
    return read_document(json.dumps(value).encode(), limit, NOW)


def flaws_of(value: Any) -> dict[str, str]:
    """What is wrong with an event: codes by place."""
    flaws = []
    event = read_event(value, "", flaws)
    assert (event is None) == bool(flaws)
    return {flaw.pointer: flaw.code for flaw in flaws}


def agrees(value: Any) -> bool:
    """Whether our JSON Schema takes the event."""
    form = {"$ref": "#/components/schemas/EpcisEvent", "components": {"schemas": schema.SCHEMAS}}
    return jsonschema.Draft202012Validator(form).is_valid(value)


def changed(event: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The event with other members; None leaves one out."""
    return {name: value for name, value in {**event, **members}.items() if value is not None}


@pytest.mark.parametrize("event", KINDS, ids=lambda event: event["type"])
def test_each_type_is_read(event):
    assert flaws_of(event) == {}
    assert agrees(event)
    for name in ("type", "eventTime", "eventTimeZoneOffset"):
        wrong = changed(event, **{name: None})
        assert flaws_of(wrong) == {f"/{name}": "member-missing"}
        assert not agrees(wrong)


def test_an_event_says_what_it_says():
    flaws = []
    event = read_event(
        changed(
            OBJECT,
            eventID="urn:uuid:1",
            action="ADD",
            bizStep="https://ref.gs1.org/cbv/BizStep-receiving",
            disposition="urn:epcglobal:cbv:disp:in_progress",
            persistentDisposition={"set": ["stolen", "stolen"], "unset": ["active"]},
            bizLocation={"id": "https://id.gs1.org/414/9506000134369"},
            readPoint={"id": "https://wms.example/dock/4"},
            ilmd={"my:owner": "Retailer"},
            **{"my:truck": "B-52"},
        ),
        "",
        flaws,
    )
    assert flaws == []
    assert isinstance(event, ObjectEvent)
    assert event.time == datetime(2026, 12, 21, 9, tzinfo=UTC)
    assert (event.event_id, event.action, event.step) == ("urn:uuid:1", Action.ADD, "receiving")
    assert (event.disposition, event.persists, event.ceases) == ("in_progress", ("stolen",), ("active",))
    assert (event.location, event.read_point) == ("9506000134369", "https://wms.example/dock/4")
    assert (event.ilmd, event.extensions) == ({"my:owner": "Retailer"}, {"my:truck": "B-52"})
    assert [epc.imei for epc in event.epcs] == [49015420323751]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (changed(OBJECT, type="SensorEvent"), "/type", "type-unknown"),
    (changed(OBJECT, action="GIVE"), "/action", "action-unknown"),
    (changed(OBJECT, action=None), "/action", "member-missing"),
    (changed(OBJECT, epcList=None), "/epcList", "member-missing"),
    (changed(OBJECT, epcList="x:y"), "/epcList", "not-a-list"),
    (changed(OBJECT, epcList=[EPC, 7]), "/epcList/1", "not-a-text"),
    (changed(OBJECT, epcList=[EPC, "no uri"]), "/epcList/1", "epc-malformed"),
    (changed(OBJECT, eventTime="2026-12-21T10:00:00"), "/eventTime", "time-malformed"),
    (changed(OBJECT, eventTime="yesterday"), "/eventTime", "time-malformed"),
    (changed(OBJECT, eventTime=17), "/eventTime", "not-a-text"),
    (changed(OBJECT, eventTimeZoneOffset="+25:00"), "/eventTimeZoneOffset", "offset-malformed"),
    (changed(OBJECT, eventTimeZoneOffset="Z"), "/eventTimeZoneOffset", "offset-malformed"),
    (changed(OBJECT, recordTime="x"), "/recordTime", "time-malformed"),
    (changed(OBJECT, eventID="17"), "/eventID", "not-a-uri"),
    (changed(OBJECT, bizStep="stealing"), "/bizStep", "word-unknown"),
    (changed(OBJECT, disposition="gone"), "/disposition", "word-unknown"),
    (changed(OBJECT, disposition=["stolen"]), "/disposition", "not-a-text"),
    (changed(OBJECT, readPoint="urn:x:y"), "/readPoint", "not-an-object"),
    (changed(OBJECT, readPoint={}), "/readPoint/id", "member-missing"),
    (changed(OBJECT, bizLocation={"id": "4"}), "/bizLocation/id", "not-a-uri"),
    (changed(OBJECT, truck="B-52"), "/truck", "member-unknown"),
    (changed(OBJECT, ilmd={"my:owner": "R"}), "/ilmd", "ilmd-late"),
    (changed(OBJECT, parentID=PALLET), "/parentID", "member-unknown"),
    (changed(OBJECT, persistentDisposition={}), "/persistentDisposition", "member-missing"),
    (changed(OBJECT, persistentDisposition={"set": []}), "/persistentDisposition/set", "list-empty"),
    (changed(OBJECT, persistentDisposition={"set": ["x"]}), "/persistentDisposition/set/0", "word-unknown"),
    (changed(OBJECT, persistentDisposition={"x": 1, "set": ["active"]}), "/persistentDisposition/x", "member-unknown"),
    (changed(OBJECT, errorDeclaration={}), "/errorDeclaration/declarationTime", "member-missing"),
    (
        changed(OBJECT, errorDeclaration={"declarationTime": "2026-12-21T10:00:00Z", "correctiveEventIDs": ["7"]}),
        "/errorDeclaration/correctiveEventIDs/0",
        "not-a-uri",
    ),
    (changed(OBJECT, quantityList=[{}]), "/quantityList/0/epcClass", "member-missing"),
    (changed(OBJECT, sourceList=[3]), "/sourceList/0", "not-an-object"),
    (changed(AGGREGATION, parentID=None), "/parentID", "member-missing"),
    (changed(AGGREGATION, childEPCs=[]), "/childEPCs", "member-missing"),
    (changed(AGGREGATION, persistentDisposition={"set": ["stolen"]}), "/persistentDisposition", "member-unknown"),
    (changed(TRANSACTION, bizTransactionList=[]), "/bizTransactionList", "member-missing"),
    (changed(TRANSACTION, epcList=None), "/epcList", "member-missing"),
    (changed(TRANSFORMATION, outputEPCList=[]), "/outputEPCList", "member-missing"),
    (changed(TRANSFORMATION, inputEPCList=None), "/inputEPCList", "member-missing"),
    (changed(ASSOCIATION, parentID=None, action="OBSERVE"), "/parentID", "member-missing"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "place", "code"), WRONG, ids=[f"{p}-{c}" for _, p, c in WRONG])
def test_a_flaw_and_its_place(event, place, code):
    assert flaws_of(event) == {place: code}
    assert not agrees(event)


RIGHT = [
    changed(OBJECT, epcList=[]),
    changed(OBJECT, epcList=None, quantityList=[{"epcClass": "urn:x:c", "quantity": 3}]),
    changed(OBJECT, epcList=None, sensorElementList=[{"sensorReport": []}], readPoint={"id": "urn:x:r"}),
    changed(OBJECT, action="ADD", ilmd={}),
    changed(OBJECT, eventTime="2026-12-21T10:00:00.1234567Z"),
    changed(AGGREGATION, action="DELETE", childEPCs=None),
    changed(AGGREGATION, action="OBSERVE", parentID=None),
    changed(TRANSACTION, action="DELETE", epcList=None),
    changed(TRANSFORMATION, outputEPCList=None, transformationID="urn:x:t"),
    changed(ASSOCIATION, **{"my:note": {"deep": [1]}}),
]


@pytest.mark.parametrize("event", RIGHT)
def test_what_is_allowed(event):
    assert flaws_of(event) == {}
    assert agrees(event)


def test_all_flaws_of_all_events_are_named():
    bad = changed(OBJECT, eventTime="x", bizStep="y", epcList=["urn:gsma:imei:49015420-323751-7", EPC, 3])
    reads = read(document(OBJECT, bad, {"type": "Nothing"}, 5))
    with pytest.raises(Invalid) as error:
        refuse_flaws(reads)
    at = "/epcisBody/eventList"
    assert {(flaw.pointer, flaw.code) for flaw in error.value.flaws} == {
        (f"{at}/1/eventTime", "time-malformed"),
        (f"{at}/1/bizStep", "word-unknown"),
        (f"{at}/1/epcList/0", "imei-check-digit"),
        (f"{at}/1/epcList/2", "not-a-text"),
        (f"{at}/2/type", "type-unknown"),
        (f"{at}/3", "not-an-object"),
    }
    assert [one.event is None for one in reads] == [False, True, True, True]


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ({"@context": None}, "/@context"),
        ({"type": "EPCISQueryDocument"}, "/type"),
        ({"schemaVersion": "1.2"}, "/schemaVersion"),
        ({"creationDate": "2026"}, "/creationDate"),
        ({"epcisBody": []}, "/epcisBody"),
        ({"epcisBody": {}}, "/epcisBody/eventList"),
        ({"epcisBody": {"eventList": {}}}, "/epcisBody/eventList"),
        ({"events": []}, "/events"),
    ],
)
def test_a_document_that_is_none(other, place):
    value = {name: member for name, member in document(OBJECT, **other).items() if member is not None}
    with pytest.raises(Invalid) as error:
        read(value)
    assert [flaw.pointer for flaw in error.value.flaws] == [place]
    form = {"$ref": "#/components/schemas/EpcisDocument", "components": {"schemas": schema.SCHEMAS}}
    assert not jsonschema.Draft202012Validator(form).is_valid(value)
    assert jsonschema.Draft202012Validator(form).is_valid(document(*KINDS))


def test_a_body_that_is_no_object():
    with pytest.raises(Invalid, match="EPCISDocument"):
        read_document(b"[]", 1, NOW)


def test_too_many_events():
    with pytest.raises(TooLarge, match="holds 3 events; 2 are taken"):
        read(document(OBJECT, OBJECT, OBJECT), limit=2)


@given(st.lists(st.text("~/01a") | st.text(), min_size=1, max_size=3))
def test_pointers_find_what_they_name(names):
    """RFC 6901, walked by hand: whatever a member is called, its pointer leads to it."""
    event = {**OBJECT, **{name: 1 for name in names if ":" not in name}}
    flaws = []
    read_event(event, "", flaws)
    for flaw in flaws:
        value: Any = event
        for part in flaw.pointer.split("/")[1:]:
            value = value[part.replace("~1", "/").replace("~0", "~")]
        assert flaw.detail.isprintable()


@given(
    st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2999-01-01")),
    st.integers(-12 * 60, 14 * 60),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_times_of_every_zone_are_one_moment(at, minutes, precision):
    there = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    written = there.isoformat(timespec=precision)
    event = read_event({**OBJECT, "eventTime": written}, "", [])
    assert event is not None
    assert event.time == datetime.fromisoformat(written)
    assert event.time.utcoffset() == timedelta(0)


@given(st.from_regex(r"[+-][0-9]{2}:[0-9]{2}", fullmatch=True))
def test_offsets(offset):
    hours, minutes = int(offset[1:3]), int(offset[4:])
    right = (hours <= 13 and minutes <= 59) or (hours, minutes) == (14, 0)
    wanted = {} if right else {"/eventTimeZoneOffset": "offset-malformed"}
    assert flaws_of({**OBJECT, "eventTimeZoneOffset": offset}) == wanted


def test_a_time_at_the_edge_of_time_is_a_flaw():
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        flaws: list[Flaw] = []
        read_event({**OBJECT, "eventTime": moment}, "", flaws)
        (flaw,) = flaws
        assert (flaw.pointer, flaw.code) == ("/eventTime", "time-malformed")
        assert "cannot be right: it would be, in UTC, between the years 1 and 9999" in flaw.detail


def test_an_event_that_has_not_happened_is_a_flaw():
    soon, late = (NOW + timedelta(minutes=5, seconds=seconds) for seconds in (0, 1))
    early = {**OBJECT, "eventTime": soon.isoformat()}
    assert read_alone(json.dumps(early).encode(), NOW).event is not None
    ahead = {**OBJECT, "eventTime": late.isoformat()}
    (flaw,) = read(document(early, ahead))[1].flaws
    assert (flaw.pointer, flaw.code) == ("/epcisBody/eventList/1/eventTime", "time-to-come")
    assert flaw.detail == (
        "2026-12-22T02:05:01.123Z has not come yet; an event has happened, so it would be"
        " 2026-12-22T02:05:00.123Z at the latest."
    )
    with pytest.raises(Invalid):
        read_alone(json.dumps(ahead).encode(), NOW)


def test_an_event_that_was_taken_with_a_time_to_come_can_be_declared_wrong():
    error = {"declarationTime": "2026-12-22T01:00:00Z", "reason": "incorrect_data"}
    ahead = {**OBJECT, "eventTime": "2028-12-22T01:00:00Z", "eventID": "urn:x:1", "errorDeclaration": error}
    assert read_alone(json.dumps(ahead).encode(), NOW).event is not None


ANY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = sorted(
    {name for event in (*KINDS, *RIGHT) for name in event} | {"errorDeclaration", "eventID", "ilmd"}
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(MEMBERS), ANY, max_size=3))
def test_whatever_is_sent_is_read_or_refused(event, members):
    """And what is read fits the schema."""
    value = {**event, **members}
    if not flaws_of(value):
        assert agrees(value)


def test_an_event_keeps_every_byte_of_what_it_says():
    event = (
        '{"type":"ObjectEvent", "my:weight":1.10,"action":"OBSERVE","epcList":[],"eventTimeZoneOffset":"+00:00",'
        '"eventTime":"2026-12-21T10:00:00Z","recordTime":"2001-01-01T00:00:00Z","my:big":12345678901234567890.5}'
    )
    around = document(**{"@context": [STANDARD_CONTEXT, {"my": "urn:my:"}]})
    body = json.dumps(around).replace('"eventList": []', f'"eventList": [{event}]').encode()
    (one,) = read_document(body, 10, NOW)
    kept = stamp.stored(one, "urn:x:1", NOW).decode()
    assert '"my:weight":1.10' in kept
    assert '"my:big":12345678901234567890.5' in kept
    said = json.loads(kept)
    assert said["@context"] == [STANDARD_CONTEXT, {"my": "urn:my:"}]
    assert (said["eventID"], said["recordTime"]) == ("urn:x:1", "2026-12-22T02:00:00.123Z")


def test_identities_are_made_of_what_is_said():
    one = read_alone(json.dumps(OBJECT).encode(), NOW)
    digest = stamp.digest(json.dumps(OBJECT).encode())
    shuffled = dict(reversed(OBJECT.items()))
    later = {**shuffled, "recordTime": "2026-12-22T02:00:00Z", "eventID": "urn:x:1"}
    wrong = {**later, "errorDeclaration": {"declarationTime": "2026-12-22T02:00:00Z"}}
    assert one.event is not None
    assert {stamp.digest(json.dumps(value).encode()) for value in (shuffled, later, wrong)} == {digest}
    assert stamp.digest(json.dumps({**OBJECT, "action": "ADD"}).encode()) != digest
    urn = stamp.identity(digest)
    assert urn == stamp.identity(digest)
    assert urn.startswith("urn:uuid:")
    assert urn[23] == "8"
    assert urn[28] in "89ab"
    assert len(urn) == 45


def test_an_event_alone():
    body = json.dumps(AGGREGATION).encode()
    one = read_alone(body, NOW)
    assert isinstance(one.event, AggregationEvent)
    with pytest.raises(Invalid) as error:
        read_alone(json.dumps({**AGGREGATION, "action": "x"}).encode(), NOW)
    assert [flaw.pointer for flaw in error.value.flaws] == ["/action"]
