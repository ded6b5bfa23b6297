"""The form of EPCIS documents and events as a JSON Schema, in our own words, and an example of each.

It says what the standard's rules say of form; check digits and what an identifier stands for are judged when an
event is read. Words and URIs of other vocabularies are allowed wherever the standard's are.
"""

from __future__ import annotations

from typing import Any

from app.epcis.document import STANDARD_CONTEXT
from app.epcis.words import DISPOSITIONS, REASONS, STEPS, Vocabulary

_REF = "#/components/schemas/"


def _ref(name: str, **notes: Any) -> dict[str, Any]:
    return {"$ref": f"{_REF}{name}", **notes}


_URI, _TIME, _STEP, _DISPOSITION, _ERROR = (
    _ref(f"Epcis{name}") for name in ("Uri", "Time", "Step", "Disposition", "Error")
)
_URI_FORM = {"type": "string", "maxLength": 2000, "pattern": r"^[A-Za-z][A-Za-z0-9+.\-]*:[^\s]+$"}
_TIME_FORM = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt].*([Zz]|[+\-][0-9]{2}:[0-9]{2})$",
    "description": "A time with its zone.",
}
_STANDARD = {"pattern": r"^(urn:epcglobal:cbv:|https?://ref\.gs1\.org/cbv/|cbv:)"}


def _word(vocabulary: Vocabulary) -> dict[str, Any]:
    either = "|".join(sorted(vocabulary.words))
    before = rf"https?://ref\.gs1\.org/cbv/{vocabulary.web}-|cbv:{vocabulary.web}-|urn:epcglobal:cbv:{vocabulary.urn}:"
    return {
        "type": "string",
        "anyOf": [{"pattern": f"^({before})?({either})$"}, {**_URI_FORM, "not": _STANDARD}],
        "description": f"Of CBV 2.0, such as `{min(vocabulary.words)}`, or a URI of another vocabulary.",
    }


def _list(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items} | ({"minItems": least} if least else {})


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object of these members and of other vocabularies' only."""
    names: dict[str, Any] = {"anyOf": [{"enum": list(properties)}, {"pattern": ":"}]}
    return _object(required, **properties) | {"propertyNames": names}


_ACTION = {"type": "string", "enum": ["ADD", "OBSERVE", "DELETE"]}
_ANY = {"type": "object"}
_CLASSES = _list(_object(["epcClass"], epcClass=_URI))
_CONTEXT: dict[str, Any] = {"description": "A JSON-LD context."}
_LASTING = {
    **_closed([], set=_list(_DISPOSITION, 1), unset=_list(_DISPOSITION, 1)),
    "minProperties": 1,
}
_SHARED: dict[str, Any] = {
    "@context": _CONTEXT,
    "eventTime": _TIME,
    "recordTime": _ref("EpcisTime", description="Given anew when the event is stored."),
    "eventTimeZoneOffset": {"type": "string", "pattern": r"^[+\-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00)$"},
    "eventID": _ref("EpcisUri", description="Where it is left out, one is made of what the event says."),
    "certificationInfo": {},
    "errorDeclaration": _ERROR,
    "bizStep": _STEP,
    "disposition": _DISPOSITION,
    "readPoint": _object(["id"], id=_URI),
    "bizLocation": _object(["id"], id=_URI),
    "bizTransactionList": _list(_object(["bizTransaction"])),
    "sourceList": _list(_object(["source"])),
    "destinationList": _list(_object(["destination"])),
    "sensorElementList": _list(_object(["sensorReport"])),
}
_DELETES = {"properties": {"action": {"const": "DELETE"}}, "required": ["action"]}
_OBSERVES = {"properties": {"action": {"const": "OBSERVE"}}, "required": ["action"]}
_ADDS = {"properties": {"action": {"const": "ADD"}}, "required": ["action"]}


def _fills(*names: str) -> list[dict[str, Any]]:
    return [{"required": [name], "properties": {name: {"minItems": 1}}} for name in names]


def _event(kind: str, required: list[str], rules: list[dict[str, Any]], **own: Any) -> dict[str, Any]:
    needed = ["type", "eventTime", "eventTimeZoneOffset", *required]
    form = _closed(needed, type={"type": "string", "enum": [kind]}, **own, **_SHARED)
    return {"title": f"Epcis{kind}", **form, "allOf": rules}


_TIED = {"action": _ACTION, "parentID": _URI, "childEPCs": _list(_URI), "childQuantityList": _CLASSES}
_CHILDREN = {"anyOf": [*_fills("childEPCs", "childQuantityList"), _DELETES]}
_CONSUMES, _PRODUCES = (
    {"anyOf": _fills(f"{side}EPCList", f"{side}QuantityList")} for side in ("input", "output")
)
_KINDS: dict[str, dict[str, Any]] = {
    "ObjectEvent": _event(
        "ObjectEvent",
        ["action"],
        [
            {
                "anyOf": [
                    {"required": ["epcList"]},
                    *_fills("quantityList"),
                    {**_fills("sensorElementList")[0], "required": ["sensorElementList", "readPoint"]},
                ]
            },
            {"anyOf": [{"not": {"required": ["ilmd"]}}, _ADDS]},
        ],
        action=_ACTION,
        epcList=_list(_URI),
        quantityList=_CLASSES,
        persistentDisposition=_LASTING,
        ilmd=_ANY,
    ),
    "AggregationEvent": _event(
        "AggregationEvent",
        ["action"],
        [_CHILDREN, {"anyOf": [{"required": ["parentID"]}, _OBSERVES]}],
        **_TIED,
    ),
    "TransactionEvent": _event(
        "TransactionEvent",
        ["action", "bizTransactionList"],
        [
            *_fills("bizTransactionList"),
            {"anyOf": [{"required": ["epcList"]}, *_fills("quantityList"), _DELETES]},
        ],
        action=_ACTION,
        parentID=_URI,
        epcList=_list(_URI),
        quantityList=_CLASSES,
    ),
    "TransformationEvent": _event(
        "TransformationEvent",
        [],
        [
            {
                "anyOf": [
                    {"allOf": [_CONSUMES, _PRODUCES]},
                    {"required": ["transformationID"], "anyOf": [_CONSUMES, _PRODUCES]},
                ]
            }
        ],
        inputEPCList=_list(_URI),
        inputQuantityList=_CLASSES,
        outputEPCList=_list(_URI),
        outputQuantityList=_CLASSES,
        transformationID=_URI,
        persistentDisposition=_LASTING,
        ilmd=_ANY,
    ),
    "AssociationEvent": _event("AssociationEvent", ["action", "parentID"], [_CHILDREN], **_TIED),
}
SCHEMAS: dict[str, Any] = {
    "EpcisDocument": {
        "title": "EpcisDocument",
        "description": "An EPCISDocument: events under a JSON-LD context.",
        **_closed(
            ["@context", "type", "schemaVersion", "creationDate", "epcisBody"],
            **{"@context": _CONTEXT},
            id={},
            type={"type": "string", "enum": ["EPCISDocument"]},
            schemaVersion={"type": "string", "pattern": r"^2(\.[0-9]+)*$"},
            creationDate=_TIME,
            instanceIdentifier={},
            sender={},
            receiver={},
            epcisHeader={},
            epcisBody=_object(["eventList"], eventList=_list({"$ref": f"{_REF}EpcisEvent"})),
        ),
    },
    "EpcisEvent": {
        "title": "EpcisEvent",
        "description": "An event of one of the five types of EPCIS 2.0. A member of your own has a prefix: `my:name`.",
        "anyOf": [{"$ref": f"{_REF}Epcis{kind}"} for kind in _KINDS],
    },
    **{f"Epcis{kind}": form for kind, form in _KINDS.items()},
    "EpcisUri": _URI_FORM,
    "EpcisTime": _TIME_FORM,
    "EpcisStep": _word(STEPS),
    "EpcisDisposition": _word(DISPOSITIONS),
    "EpcisError": {
        "description": "That the event of the same identity was wrong.",
        **_closed(
            ["declarationTime"], declarationTime=_TIME, reason=_word(REASONS), correctiveEventIDs=_list(_URI)
        ),
    },
}

_PALLET = "https://id.gs1.org/00/106141412345678908"
_RECEIVED = {
    "type": "ObjectEvent",
    "eventID": "urn:uuid:7a1d3c52-7f3e-4c3b-9f3a-0f1c5b6d7e81",
    "action": "ADD",
    "eventTime": "2025-12-21T09:30:00.000+01:00",
    "eventTimeZoneOffset": "+01:00",
    "bizStep": "receiving",
    "disposition": "in_progress",
    "bizLocation": {"id": "https://id.gs1.org/414/9506000134369"},
    "epcList": ["urn:gsma:imei:49015420-323751-0", "https://id.gs1.org/01/09506000134352/21/T2201"],
    "ilmd": {"my:owner": "Retailer", "my:model": "Phone X"},
}
_PACKED = {
    "type": "AggregationEvent",
    "eventID": "urn:uuid:2b9f3e0c-58d0-49a4-8f55-6c1f6bb0a9d2",
    "action": "ADD",
    "eventTime": "2025-12-21T10:00:00.000+01:00",
    "eventTimeZoneOffset": "+01:00",
    "bizStep": "packing",
    "parentID": _PALLET,
    "childEPCs": ["urn:gsma:imei:49015420-323751-0", "https://id.gs1.org/01/09506000134352/21/T2201"],
}
_STOLEN = {
    "type": "ObjectEvent",
    "eventID": "urn:uuid:c0a5d0de-33a2-4f25-9b43-1a8a3bd5a1f7",
    "action": "OBSERVE",
    "eventTime": "2025-12-22T02:40:00.000+01:00",
    "eventTimeZoneOffset": "+01:00",
    "epcList": [_PALLET],
    "persistentDisposition": {"set": ["stolen"]},
}
_EXAMPLE = {
    "@context": [STANDARD_CONTEXT, {"my": "https://wms.example/epcis/"}],
    "type": "EPCISDocument",
    "schemaVersion": "2.0",
    "creationDate": "2025-12-21T10:05:00.000+01:00",
    "epcisBody": {"eventList": [_RECEIVED, _PACKED]},
}
DOCUMENT: dict[str, Any] = {
    "application/json": {"schema": {"$ref": f"{_REF}EpcisDocument"}, "example": _EXAMPLE},
    "application/ld+json": {"schema": {"$ref": f"{_REF}EpcisDocument"}, "example": _EXAMPLE},
}
EVENT: dict[str, Any] = {
    "application/json": {"schema": {"$ref": f"{_REF}EpcisEvent"}, "example": _STOLEN},
    "application/ld+json": {"schema": {"$ref": f"{_REF}EpcisEvent"}, "example": _STOLEN},
}
