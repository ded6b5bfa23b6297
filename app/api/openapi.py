"""The OpenAPI document: what the framework derives from the handlers, made true where it is not.

Run as a module it prints the document, which is kept in openapi/openapi.json and checked for drift.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag

_ABOUT = """IMEI registry and stolen-device blocking gateway: goods-in registers devices, an incident declares
them stolen with two people deciding, and every partner is told.

Every request carries an API key as `Authorization: Bearer imei_…`, but for the health routes and a
partner's signed confirmations. Every error is a problem document (RFC 9457)."""

_ROWS = {
    "text/csv": {
        "schema": {"type": "string"},
        "example": "imei1,imei2,serial,gtin,pallet,site,owner\n490154203237518,,R58M1,08806090000003,"
        "106141412345678908,PAR-1,Retailer\n",
    },
    "application/x-ndjson": {"schema": {"type": "string"}},
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["devices"],
            "properties": {"devices": {"type": "array", "items": {"$ref": "#/components/schemas/NewDevice"}}},
        }
    },
}
_NEW_DEVICE = {
    "type": "object",
    "title": "NewDevice",
    "description": "A device to register: at least one IMEI, or a serial with its GTIN.",
    "properties": {
        "imeis": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
        "serial": {"type": "string"},
        "gtin": {"type": "string"},
        "pallet": {"type": "string", "description": "SSCC, 18 digits"},
        "site": {"type": "string"},
        "owner": {"type": "string"},
        "model": {"type": "string"},
        "unit_value": {"type": ["string", "number", "null"]},
        "currency": {"type": "string", "description": "ISO 4217"},
    },
    "additionalProperties": False,
}


def config() -> OpenAPIConfig:
    """What the framework is told about the document."""
    return OpenAPIConfig(
        title="IMEI gateway",
        version=version("imei-gateway"),
        description=_ABOUT,
        license=License("Apache-2.0", identifier="Apache-2.0"),
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
        tags=[Tag(name) for name in ("Goods-in", "Incidents", "Status", "3GPP N5g-eir", "Partners", "Audit", "Health")],
        use_handler_docstrings=True,
        path="/schema",
    )


def document(app: Litestar) -> dict[str, Any]:
    """The document that is served, printed and drawn at /docs."""
    found: dict[str, Any] = json.loads(json.dumps(app.openapi_schema.to_schema()))
    found["components"]["schemas"] |= {"NewDevice": _NEW_DEVICE, "Problem": _problem()}
    found["paths"]["/v1/receipts"]["post"]["requestBody"] = {"required": True, "content": _ROWS}
    confirmations = found["paths"]["/v1/partners/{partner_id}/confirmations"]["post"]
    confirmations["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    confirmations["security"] = [{}]
    for methods in found["paths"].values():
        for operation in methods.values():
            _true_responses(operation)
    return found


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    flaw = {"type": "object", "properties": {"detail": text, "pointer": text, "code": text}, "required": ["detail"]}
    return {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457. `code` is stable; `errors` name each place.",
        "required": ["title", "status", "detail"],
        "properties": {
            "type": text, "title": text, "status": {"type": "integer"}, "detail": text, "code": text,
            "cause": text, "errors": {"type": "array", "items": flaw},
        },
    }  # fmt: skip


def _true_responses(operation: dict[str, Any]) -> None:
    """Errors are problem documents; the framework describes its own form instead."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    for status in [status for status in responses if not status.startswith("2")]:
        del responses[status]
    responses["4XX"] = {"description": "What is wrong, where, and what would be right", "content": content}
    responses["5XX"] = {"description": "A part of ours is away; try again", "content": content}


@cache
def text(app: Litestar) -> bytes:
    """The document as it is stored: stable order, two spaces."""
    return (json.dumps(document(app), indent=2, ensure_ascii=False) + "\n").encode()


def main() -> None:
    """Prints the document."""
    from app.server import describe

    sys.stdout.buffer.write(text(describe()))


if __name__ == "__main__":
    main()
