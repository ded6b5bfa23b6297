"""What each event means for us, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.epcis import effects as meaning
from app.epcis.effects import (
    Aggregated,
    Left,
    Name,
    Register,
    ReportedRecovered,
    ReportedStolen,
    Seen,
    Withdrawn,
    effects,
)
from app.epcis.events import Action
from app.epcis.reading import read_event
from app.epcis.words import DISPOSITIONS, STEPS

AT = datetime(2026, 12, 21, 9, 0, tzinfo=UTC)
IMEI, OTHER = "urn:gsma:imei:49015420-323751-0", "urn:gsma:imei:35209900-176148-1"
UNIT = "https://id.gs1.org/01/09506000134352/21/T2201"
BOXED = "https://id.gs1.org/01/09506000134352/21/490154203237518"
SSCC, INNER = "https://id.gs1.org/00/106141412345678908", "urn:epc:id:sscc:0614141.1234567891"
PALLET, CARTON = "106141412345678908", "106141412345678915"
PHONE, SECOND, TABLET = Name(49015420323751), Name(35209900176148), Name(None, "09506000134352", "T2201")
SITE, DOCK = {"id": "https://id.gs1.org/414/9506000134369"}, {"id": "urn:epc:id:sgln:9506000.13436.4"}


def follows(kind: str, **members: Any):
    flaws: list[Any] = []
    shared = {"eventTime": "2026-12-21T10:00:00+01:00", "eventTimeZoneOffset": "+01:00"}
    event = read_event({"type": kind, **shared, **members}, "", flaws)
    assert event is not None, flaws
    return effects(event)


def objects(action: str = "OBSERVE", *epcs: str, **members: Any):
    return follows("ObjectEvent", action=action, epcList=list(epcs or (IMEI, UNIT)), **members)


def aggregated(action: str, **members: Any):
    return follows("AggregationEvent", action=action, **members)


@pytest.mark.parametrize(
    ("action", "step"), [("ADD", "commissioning"), ("ADD", "receiving"), ("OBSERVE", "receiving")]
)
def test_devices_are_registered(action, step):
    assert objects(action, bizStep=step, bizLocation=SITE) == (
        Register((PHONE, TABLET), "9506000134369", AT),
    )


@pytest.mark.parametrize(
    ("action", "step"),
    [("OBSERVE", "commissioning"), ("DELETE", "receiving"), ("ADD", "packing"), ("DELETE", "commissioning")],
)
def test_and_otherwise_not(action, step):
    assert objects(action, bizStep=step) == ()


def test_each_identifier_is_a_device_and_named_once():
    (register,) = objects("ADD", IMEI, OTHER, IMEI, "urn:epc:id:giai:4000001.111", bizStep="receiving")
    assert register == Register((PHONE, SECOND), "", AT)
    (register,) = objects("ADD", BOXED, bizStep="receiving")
    assert register.devices == (Name(49015420323751, "09506000134352", ""),)


@pytest.mark.parametrize("owner", ["my:owner", "https://wms.example/terms/Owner", "urn:x#owner"])
def test_owner_and_model_come_from_other_vocabularies(owner):
    ilmd = {owner: " Retailer ", "my:model": "Phone X", "my:colour": "red"}
    (register,) = objects("ADD", bizStep="commissioning", ilmd=ilmd, **{"my:owner": "Somebody else"})
    assert (register.owner, register.model) == ("Retailer", "Phone X")
    (register,) = objects("ADD", bizStep="commissioning", **{"my:owner": "Shop", "my:model": 7})
    assert (register.owner, register.model) == ("Shop", "")


def test_a_pallet_that_is_received_is_seen():
    found = objects("OBSERVE", SSCC, IMEI, bizStep="receiving", bizLocation=SITE)
    assert found == (
        Register((PHONE,), "9506000134369", AT),
        Seen((), (PALLET,), "9506000134369", AT),
    )


@pytest.mark.parametrize("step", ["shipping", "departing", "loading"])
def test_what_left(step):
    found = objects("OBSERVE", IMEI, SSCC, bizStep=step, readPoint=DOCK, bizLocation=SITE)
    assert found == (Left((PHONE,), (PALLET,), "9506000134369.4", AT),)
    found = aggregated("OBSERVE", parentID=SSCC, childEPCs=[UNIT, INNER], bizStep=step)
    assert found == (
        Aggregated(PALLET, (TABLET,), Action.OBSERVE, AT, (CARTON,)),
        Left((TABLET,), (PALLET, CARTON), "", AT),
    )


@pytest.mark.parametrize("step", ["cycle_counting", "stock_taking", "inspecting"])
def test_what_was_seen(step):
    assert objects("OBSERVE", SSCC, bizStep=step, bizLocation=SITE) == (
        Seen((), (PALLET,), "9506000134369", AT),
    )


def test_devices_go_onto_a_pallet_and_come_off_it():
    assert aggregated("ADD", parentID=SSCC, childEPCs=[IMEI, UNIT]) == (
        Aggregated(PALLET, (PHONE, TABLET), Action.ADD, AT),
    )
    assert aggregated("DELETE", parentID=SSCC, childEPCs=[IMEI]) == (
        Aggregated(PALLET, (PHONE,), Action.DELETE, AT),
    )
    assert aggregated("OBSERVE", parentID=SSCC, childEPCs=[IMEI]) == (
        Aggregated(PALLET, (PHONE,), Action.OBSERVE, AT),
    )


def test_cartons_go_onto_a_pallet_and_come_off_it():
    for action in Action:
        found = aggregated(action, parentID=SSCC, childEPCs=[INNER, IMEI, SSCC])
        assert found == (Aggregated(PALLET, (PHONE,), action, AT, (CARTON,)),)


@pytest.mark.parametrize("step", ["cycle_counting", "stock_taking", "inspecting"])
def test_who_counts_a_pallet_saw_what_is_named_or_all_of_it(step):
    members = {"parentID": SSCC, "bizStep": step, "bizLocation": SITE}
    *_, seen = aggregated("OBSERVE", childEPCs=[IMEI, INNER], **members)
    assert seen == Seen((PHONE,), (CARTON,), "9506000134369", AT)
    assert aggregated("OBSERVE", childEPCs=["urn:epc:id:giai:4000001.111"], **members) == ()
    by_class = {"childQuantityList": [{"epcClass": "urn:x:c", "quantity": 2}]}
    assert aggregated("OBSERVE", **by_class, **members) == (Seen((), (PALLET,), "9506000134369", AT),)


def test_all_come_off_where_none_is_named():
    assert aggregated("DELETE", parentID=SSCC) == (Aggregated(PALLET, (), Action.DELETE, AT),)
    assert aggregated("DELETE", parentID=SSCC, childEPCs=[]) == (Aggregated(PALLET, (), Action.DELETE, AT),)


@pytest.mark.parametrize(
    "members",
    [
        {"childEPCs": [SSCC]},
        {"childEPCs": ["urn:epc:id:giai:4000001.111"]},
        {"childQuantityList": [{"epcClass": "urn:x:c", "quantity": 2}]},
    ],
)
def test_but_not_where_what_is_named_is_no_device(members):
    assert aggregated("DELETE", parentID=SSCC, **members) == ()
    assert aggregated("ADD", parentID=SSCC, **members) == ()


def test_a_parent_that_is_no_pallet_moves_nothing():
    assert aggregated("ADD", parentID="urn:epc:id:grai:0614141.12345.1", childEPCs=[IMEI]) == ()
    assert aggregated("DELETE", parentID="urn:epc:id:grai:0614141.12345.1") == ()


@pytest.mark.parametrize(
    "members",
    [{"disposition": "stolen"}, {"persistentDisposition": {"set": ["stolen", "unavailable"]}}],
)
def test_a_theft_is_reported(members):
    found = objects("OBSERVE", IMEI, SSCC, bizLocation=SITE, **members)
    assert found == (ReportedStolen((PHONE,), (PALLET,), "9506000134369", AT),)


def test_a_recovery_is_reported():
    found = objects("OBSERVE", IMEI, persistentDisposition={"unset": ["stolen"]})
    assert found == (ReportedRecovered((PHONE,), (), "", AT),)


def test_a_report_comes_after_what_the_step_says():
    found = objects("OBSERVE", IMEI, bizStep="receiving", disposition="stolen")
    assert [type(one) for one in found] == [Register, ReportedStolen]


def test_an_aggregation_reports_no_theft():
    found = aggregated("OBSERVE", parentID=SSCC, childEPCs=[IMEI], disposition="stolen")
    assert [type(one) for one in found] == [Aggregated]


def test_an_event_that_was_wrong_only_takes_its_effects_back():
    error = {
        "declarationTime": "2026-12-22T10:00:00Z",
        "reason": "incorrect_data",
        "correctiveEventIDs": ["urn:x:2", "urn:x:3"],
    }
    found = objects(
        "ADD", bizStep="receiving", disposition="stolen", eventID="urn:x:1", errorDeclaration=error
    )
    assert found == (Withdrawn("urn:x:1", "incorrect_data", ("urn:x:2", "urn:x:3")),)
    found = aggregated(
        "DELETE", parentID=SSCC, eventID="urn:x:4", errorDeclaration={**error, "reason": "my:why"}
    )
    assert found == (Withdrawn("urn:x:4", "my:why", ("urn:x:2", "urn:x:3")),)


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (
            "TransactionEvent",
            {"action": "ADD", "epcList": [IMEI], "bizTransactionList": [{"bizTransaction": "x:y"}]},
        ),
        ("TransformationEvent", {"inputEPCList": [IMEI], "outputEPCList": [UNIT]}),
        ("AssociationEvent", {"action": "ADD", "parentID": SSCC, "childEPCs": [IMEI]}),
    ],
)
def test_other_types_have_no_effects(kind, members):
    error = {"declarationTime": "2026-12-22T10:00:00Z"}
    assert follows(kind, bizStep="shipping", disposition="stolen", **members) == ()
    assert follows(kind, **members, errorDeclaration=error) == ()


@given(
    st.sampled_from(["ADD", "OBSERVE", "DELETE"]),
    st.sampled_from(sorted(STEPS.words)),
    st.sampled_from(sorted(DISPOSITIONS.words)),
)
def test_nothing_without_devices_or_pallets(action, step, disposition):
    assert objects(action, "urn:epc:id:giai:4000001.111", bizStep=step, disposition=disposition) == ()


def test_the_words_that_matter_are_words():
    assert STEPS.words >= meaning.ARRIVING | meaning.LEAVING | meaning.COUNTING
    assert meaning.STOLEN in DISPOSITIONS.words
