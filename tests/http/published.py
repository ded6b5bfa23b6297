"""The published shapes of what the dialects answer, written from the standards' tables; and how answers are held to
them."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema

# RFC 3339, with its zone.
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
_STRING = {"type": "string"}
_YES_OR_NO = {"enum": ["Yes", "No"]}


def _closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object of these members and no other."""
    return {
        "type": "object",
        "required": list(required),
        "properties": required | optional,
        "additionalProperties": False,
    }


# TS 29.511, table 6.1.6.2.2-1 and clause 6.1.6.3.3.
EIR_RESPONSE_DATA = _closed({"status": {"enum": ["WHITELISTED", "BLACKLISTED", "GREYLISTED"]}})
# TS 29.571, tables 5.2.4.1-1 and 5.2.4.2-1.
_INVALID_PARAM = _closed({"param": {"type": "string", "pattern": "^(query|header) .+$"}}, reason=_STRING)
PROBLEM_DETAILS = _closed(
    {"status": {"type": "integer", "minimum": 400, "maximum": 599}},
    type=_STRING,
    title=_STRING,
    detail=_STRING,
    instance=_STRING,
    cause={"type": "string", "pattern": "^[A-Z_]+$"},
    invalidParams={"type": "array", "items": _INVALID_PARAM, "minItems": 1},
    supportedFeatures={"type": "string", "pattern": "^[A-Fa-f0-9]*$"},
)
# CAMARA DeviceAuthenticity vwip, with the ErrorInfo of its commonalities.
IMEI_STATUS = _closed(
    {
        "imei": {"type": "string", "pattern": "^[0-9]{15}$"},
        "operationalStatus": {
            "enum": [
                "allowed", "lost", "stolen", "blacklisted", "blocked", "fraud", "non-payment", "regulatory", "unknown",
            ]
        },
    },
    lastChecked={"type": "string", "pattern": _TIME},
    reportedDate={"type": "string", "pattern": _TIME},
)  # fmt: skip
ERROR_INFO = _closed(
    {
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^[A-Z_]+$"},
        "message": {"type": "string", "minLength": 1},
    }
)
# As answers of Device Check are seen in public.
_ENTRY = _closed(
    {
        "action": {"enum": ["Block Insert", "Block Remove"]},
        "reasoncode": {"type": "string", "pattern": "^([0-9]{4})?$"},
        "reasoncodedesc": {"type": "string", "minLength": 1},
        "date": {
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.0$",
        },
        "by": _STRING,
        "Country": _STRING,
    }
)
DEVICE_CHECK = _closed(
    {
        "refcode": {"type": "string", "minLength": 1},
        "responsestatus": {"const": "success"},
        "deviceid": {"type": "string", "pattern": "^[0-9]{14}$"},
        "partnerid": _STRING,
        "blockliststatus": _YES_OR_NO,
        "blackliststatus": _YES_OR_NO,
        "generalliststatus": _YES_OR_NO,
        "greyliststatus": _YES_OR_NO,
        "imeihistory": {"type": "array", "items": _ENTRY},
        "manufacturer": _STRING,
        "brandname": _STRING,
        "marketingname": _STRING,
        "modelname": _STRING,
    }
)
DEVICE_CHECK_REFUSAL = _closed(
    {
        "refcode": {"type": "string", "minLength": 1},
        "responsestatus": {"const": "error"},
        "errorcode": {"type": "string", "minLength": 1},
        "errordesc": {"type": "string", "minLength": 1},
    }
)


def fits(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(value)


def told(
    response: httpx.Response, status: int, schema: dict[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    """What an answer says, which must be of this status, type and shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == media_type
    body: dict[str, Any] = response.json()
    fits(body, schema)
    return body
