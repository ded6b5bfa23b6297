"""Examples of requests, and the forms of the bodies that are not read as a whole.

The examples of requests stand in openapi/examples too, from where tests send them.
"""

from __future__ import annotations

import json
from typing import Any

from app.api.dialects.epcis import schema

_PALLET = "106141412345678908"
PHONE = {
    "imeis": ["490154203237518", "490154203237526"],
    "serial": "R58M1A0001",
    "gtin": "08806090000003",
    "pallet": _PALLET,
    "site": "PAR-1",
    "owner": "Retailer",
    "model": "Phone X",
    "unit_value": "499.90",
    "currency": "EUR",
}
_TABLET = {
    "serial": "T2201",
    "gtin": "09506000134352",
    "pallet": _PALLET,
    "site": "PAR-1",
    "owner": "Retailer",
}
_CSV = f"""imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency
490154203237518,490154203237526,R58M1A0001,08806090000003,{_PALLET},PAR-1,Retailer,Phone X,499.90,EUR
,,T2201,09506000134352,{_PALLET},PAR-1,Retailer,,,
"""
_ADVICE = """UNB+UNOC:3+9506000122223:14+9506000111117:14+260302:0615+1'
UNH+1+DESADV:D:96A:UN:EAN005'
BGM+351+LS2603-0417+9'
NAD+DP+9506000111117::9'
CPS+1'
PCI+33E'
GIN+BJ+340123450000000018'
LIN+1++9506000134352:SRV'
IMD+F++:::Phone Z'
QTY+12:2'
GIN+BN+350000010000012+350000010000020'
UNT+11+1'
UNZ+1+1'
"""
_TACS = "tac,brand,model\n49015420,Nordlys,Phone X\n35209900,Nordlys,Phone Y\n"


_NDJSON = "".join(json.dumps(device) + "\n" for device in (PHONE, _TABLET))

REQUESTS: dict[str, Any] = {
    "stepUp": {"code": "492039"},
    "changePassword": {"password": "seven grey herons", "new_password": "eleven slow barges"},
    "addPerson": {
        "name": "Marie Lenoir",
        "email": "marie@retailer.example",
        "role": "approver",
        "groups": ["security"],
        "sites": ["PAR-1"],
    },
    "changePerson": {"role": "incident-manager", "groups": ["warehouse"]},
    "reportSightings": {
        "sightings": [
            {
                "imei": "490154203237518",
                "at": "2026-01-05T11:20:00+01:00",
                "place": "Repair shop, Lyon",
                "note": "Brought in for a new screen; the customer left when asked for a receipt.",
            }
        ]
    },
    "checkImeiStatus": {"imei": "490154203237518"},
    "draftIncident": {
        "title": "Paris, night of 22 December",
        "kind": "theft",
        "site": "PAR-1",
        "occurred_from": "2026-12-22T01:00:00+01:00",
        "occurred_to": "2026-12-22T04:00:00+01:00",
        "police_reference": "PV 2026/1234",
        "scope": {"pallets": [_PALLET], "imeis": ["352099001761481"]},
    },
    "previewIncident": {"scope": {"pallets": [_PALLET]}},
    "submitIncident": {"acknowledged": ["size"], "include_sold": False},
    "addGolden": {"digits": ["86111111", "359999000000174"], "why": "Handsets of the test bench, Lyon"},
    "removeGolden": {"digits": "86111111", "reason": "The bench was sold."},
    "sellDevices": {"imeis": ["490154203237518"], "at": "2025-12-20T17:45:00+01:00"},
    "returnDevices": {"imeis": ["490154203237518"], "at": "2025-12-21T10:12:00+01:00"},
    "eraseDevices": {"imeis": ["490154203237518"], "reason": "Asked by the customer, ticket 4711"},
    "approveIncident": {"frozen": "1f30143a15bd29753b52d2a11ba46504ac0adb8ea8ddb9c0f162c19b7bb179fe"},
    "breakGlass": {"reason": "Three trucks are leaving the dock now, and nobody answers."},
    "reviewIncident": {"verdict": "upheld", "reason": "Seen on the camera of dock 4."},
    "addRule": {
        "subject": "block",
        "approvers": 2,
        "least_devices": 10000,
        "distinct_groups": True,
        "hours": 24,
    },
    "approveProposal": {"digest": "eea5ed79dcfe394756412a72e312e77f01b73f8bc0bd83b6de863a9d57248ed7"},
    "rejectProposal": {"reason": "Nobody has asked the operator."},
    "withdrawProposal": {"reason": "It was meant for the other partner."},
    "rejectIncident": {"reason": "These pallets left on Monday's truck."},
    "withdrawIncident": {"reason": "The pallets stand in hall 4."},
    "liftDevices": {"scope": {"imeis": ["490154203237518"]}},
    "askStatuses": {"imeis": ["009900990001010", "00990099000200", "0099009900030001", "009900990004006"]},
    "addPartner": {
        "name": "National register",
        "adapter": "ceir",
        "settings": {"url": "https://ceir.example", "username": "gateway", "password": "a secret"},
        "scope": {"kinds": ["imei"]},
        "limits": {"max_inflight": 4, "rate": 20, "burst": 5},
    },
    "changePartner": {"paused": True, "reason": "Maintenance until noon."},
    "tryPartner": {"imei": "009900990000012"},
    "replayPartner": {"which": "failed", "incident": 1, "since": "2025-12-22T02:00:00Z"},
    "saveMapping": {"columns": {"Handset ID": "imei", "Case": "pallet", "Internal note": "-"}},
    "moveDevices": {
        "moves": [{"to": "340123450000000018", "imeis": ["490154203237518"], "at": "2025-12-22T01:40:00Z"}]
    },
}

SCHEMAS: dict[str, Any] = {
    "NewDevices": {
        "type": "object",
        "title": "NewDevices",
        "required": ["devices"],
        "properties": {
            "devices": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/NewDevice"}}
        },
    },
    "NewDevice": {
        "type": "object",
        "title": "NewDevice",
        "description": "A device to register: at least one IMEI, or a serial with its GTIN. What is wrong"
        " with one rejects it alone; fields of other names are passed over with a warning.",
        "properties": {
            "imeis": {
                "type": "array",
                "items": {"type": "string", "description": "15 digits, the last of them the check digit."},
                "maxItems": 4,
            },
            "serial": {"type": "string", "maxLength": 200},
            "gtin": {"type": "string", "description": "8, 12, 13 or 14 digits."},
            "pallet": {"type": "string", "description": "An SSCC of 18 digits."},
            "site": {"type": "string", "maxLength": 200},
            "owner": {"type": "string", "maxLength": 200},
            "model": {"type": "string", "maxLength": 200},
            "unit_value": {"type": ["string", "number", "null"], "description": "Such as 499.90."},
            "currency": {"type": "string", "description": "Three letters (ISO 4217)."},
        },
    },
    **schema.SCHEMAS,
}

_OF_FILE = '; filename="goods.csv"\r\nContent-Type: text/csv'
BOUNDARY = "between-the-parts"
FORMS: dict[str, dict[str, str | int]] = {
    "registerDevices": {"file": _CSV, "supplier": "ACME", "declared": 2},
    "importTacs": {"file": _TACS, "source": "ours"},
}

_CHECK = {"deviceid": "490154203237518", "partnerid": "Repairs, Lyon"}
_CHECK_SCHEMA = {
    "type": "object",
    "required": ["deviceid"],
    "properties": {
        "deviceid": {"type": "string", "pattern": "^[0-9]{14,16}$"},
        "partnerid": {"type": "string", "maxLength": 100},
    },
}

_TOKEN = f"imei_i_{'x' * 43}"


def _texts(example: dict[str, str], *wanted: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """A JSON body of short texts."""
    text = {"type": "string", "maxLength": 320}
    schema = {
        "type": "object",
        "required": list(wanted),
        "properties": dict.fromkeys((*example, *optional), text),
        "additionalProperties": False,
    }
    return {"application/json": {"schema": schema, "example": example}}


_SIGN_IN = {"email": "marie@retailer.example", "password": "seven grey herons", "code": "492039"}

BODIES: dict[str, Any] = {
    "signIn": _texts(_SIGN_IN, "email", "password", optional=("recovery_code",)),
    "finishSignOn": _texts({"code": "492039"}, "code"),
    "enrol": _texts({"token": _TOKEN, "password": "seven grey herons"}, "token", "password"),
    "confirmEnrolment": _texts({"token": _TOKEN, "code": "492039"}, "token", "code"),
    "checkDevice": {
        "application/x-www-form-urlencoded": {"schema": _CHECK_SCHEMA, "example": _CHECK},
        "application/json": {"schema": _CHECK_SCHEMA, "example": _CHECK},
    },
    "registerDevices": {
        "text/csv": {"schema": {"type": "string"}, "example": _CSV},
        "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON},
        "application/json": {
            "schema": {"$ref": "#/components/schemas/NewDevices"},
            "example": {"devices": [PHONE, _TABLET]},
        },
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
            "schema": {"type": "string", "format": "binary"}
        },
        "application/edifact": {"schema": {"type": "string"}, "example": _ADVICE},
    },
    "importTacs": {"text/csv": {"schema": {"type": "string"}, "example": _TACS}},
    "captureEvents": schema.DOCUMENT,
    "captureEvent": schema.EVENT,
    "issueToken": {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "required": ["grant_type"],
                "properties": {
                    "grant_type": {"const": "client_credentials"},
                    "client_id": {"type": "string", "description": "The id of a key."},
                    "client_secret": {"type": "string", "description": "The whole key."},
                    "scope": {"type": "string", "description": "Scopes, with spaces between."},
                },
            },
            "example": {
                "grant_type": "client_credentials",
                "client_id": "k_mfzwizlt",
                "client_secret": f"imei_k_mfzwizlt_{'x' * 43}",
                "scope": "n5g-eir-eic status:read",
            },
        }
    },
    "confirmDeliveries": {
        "application/json": {
            "schema": {
                "type": "object",
                "description": "In the form of the partner's adapter; this is Knox Guard's.",
            },
            "example": {"events": [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}]},
        }
    },
}


def as_form(example: dict[str, str | int]) -> bytes:
    """The example of a form as it is sent, with BOUNDARY between its parts."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{_OF_FILE if name == "file" else ""}\r\n'
        f"\r\n{value}\r\n"
        for name, value in example.items()
    ]
    return "".join([*parts, f"--{BOUNDARY}--\r\n"]).encode()
