"""The OpenAPI document, derived from the routes: their parameters, bodies, answers and refusals.

Run as a module it prints the document; given a folder, it writes it there, with an example of each request.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args
from urllib.parse import urlencode

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from litestar.routes import HTTPRoute

from app.access.roles import Permission
from app.api import answers, examples, form, notes, once, plain_form, refusals
from app.api.notes import Notes
from app.api.problems import Problem
from app.api.schemas import Schemas
from app.proposals.proposal import Proposal

_ABOUT = """IMEI registry and stolen-device blocking gateway: goods-in registers devices, an incident declares
them stolen with two people deciding, and every partner is told.

Every request carries an API key, or a token that was had for one at `/oauth2/token`, as `Authorization: Bearer imei_…`,
but for the health routes, `/docs`, `/openapi.json` and a partner's signed confirmations. Every refusal is a problem
document (RFC 9457, `application/problem+json`) that says what is wrong, where, and what would be right; one of a path
that speaks a published API (OAuth 2.0, 3GPP, CAMARA, Device Check) is in the form that is told there. Every answer
carries an `x-request-id`. Where there is GET, there is HEAD.

A request that changes something may carry an `Idempotency-Key`, and can then be sent again for a day without being
done again: it is given the same answer, refusals by a rule among them, with the header `Idempotency-Replayed: true`.
A key belongs to the API key, the method and the path that it was sent with. What did not come to be done (400, 401,
413, 415, 5xx) leaves it unused. Some take no such key: who asks for a status changes nothing, a token and a try of a
partner are made anew each time, and a partner's confirmations count once as they are.

What is no HTTP at all, or has a head of more than 64 KB, is refused by the server before it comes here: with 400, 414
or 431, and without a body."""

_TAGS = {
    "Goods-in": "Devices come in by file or request, and are found again.",
    "Brands": "What a TAC stands for: the brand and model of a phone, by files that you import.",
    "Incidents": "A theft or loss: drafted, submitted, approved by a second person, lifted, or taken back.",
    "Approvals": "How many people it takes to decide, and who they must be.",
    "Evidence": "What an incident was and whom it was told, in one signed file that anybody can check.",
    "Status": "Whether an identifier is blocked, in this gateway's own form.",
    "Block list": "The whole list for those who keep a copy of it, and what changes, in order and as it is decided.",
    "Tokens": "A key's holder is given a token for a while, as OAuth 2.0 has it (RFC 6749, client credentials).",
    "Sightings": "Who asked about stolen devices, or about stock that should not be out; and what was reported.",
    "Alerts": "What a person should look at now.",
    "EPCIS": "What moved, as warehouses tell it in EPCIS 2.0 (GS1): captured, and asked for.",
    "3GPP N5g-eir": "The same question as a 5G core asks it (TS 29.511).",
    "CAMARA DeviceAuthenticity": "The same as shops, insurers and operators ask it by CAMARA (work in progress there).",
    "Device Check": "The same in the style of the GSMA's Device Check, with what became of the device before.",
    "People": "Who signs in with a password and a second factor, and where; who is let in, and what he may do.",
    "Partners": "Who is told, how, and how hard each may be called.",
    "Audit": "What happened, in an order that nobody can rewrite.",
    "Health": "For load balancers and monitoring; no key is wanted.",
}
_SCOPE = "What a role that has {} may do with it."
_ENDINGS = {
    "application/json": "json",
    "application/ld+json": "jsonld",
    "application/x-ndjson": "ndjson",
    "application/edifact": "edi",
    "text/csv": "csv",
    plain_form.TYPE: "form",
    form.TYPE: "multipart",
}


_KEY = {
    "name": once.HEADER,
    "in": "header",
    "schema": {"type": "string", "pattern": once.PATTERN},
    "description": "A name of your own for this request, a UUID for one: 1 to 255 printable ASCII characters,"
    " between double quotes if a space, a comma or a double quote is among them. The same request with the same key"
    " is done once, and answered the same for a day.",
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}


_TAG = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `ETag` of the answer that you have.",
}
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of `/oauth2/token`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-imei-session",
        "description": "Of a person who has signed in at `/v1/sessions`. What changes something comes with a header"
        " `X-CSRF-Token` besides, and from a page of the gateway.",
    },
    "token": {
        "type": "oauth2",
        "description": "A key's holder gets a token for some of what the key may; `client_id` is the id of the key, and"
        " `client_secret` the key.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth2/token",
                "scopes": {str(permission): _SCOPE.format(permission) for permission in Permission},
            }
        },
    },
}


def _security(scopes: Sequence[str]) -> list[dict[str, list[str]]]:
    return [{"key": []}, {"session": []}, {"token": [str(scope) for scope in scopes]}]


class Operation(NamedTuple):
    """One method of one route."""

    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def notes(self) -> Notes:
        return notes.of(self.handler)

    @property
    def form(self) -> Any:
        """The type of its JSON body; None where it has none."""
        said = self.handler.parsed_fn_signature.parameters.get("said")
        return said.annotation if said else None

    @property
    def is_once(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return "once" in self.handler.parsed_fn_signature.parameters

    @property
    def is_limited(self) -> bool:
        """Whether it spends the quota of who asks."""
        return "asker" in self.handler.parsed_fn_signature.parameters

    @property
    def answer(self) -> Any:
        """The type of its JSON answer; None where that is no JSON."""
        kind = self.handler.parsed_fn_signature.return_type.annotation
        kind = get_args(kind)[0] if get_args(kind) else kind
        if self.notes.proposes:
            kind = next((it for it in get_args(kind) if it is not Proposal), kind)
        return kind if self.notes.answer == "application/json" and kind is not Any else self.notes.form

    @property
    def refusal(self) -> Any:
        """The type of its refusals, where that is not ours."""
        return self.notes.dialect.form if self.notes.dialect else None


def operations(app: Litestar) -> Iterator[Operation]:
    """What the document describes, in the order in which the routes stand."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            handlers = [handler for handler in route.route_handlers if handler.resolve_include_in_schema()]
            for handler in sorted(handlers, key=lambda handler: sorted(handler.http_methods)):
                yield Operation(min(handler.http_methods).lower(), route.path_format, handler)


def document(app: Litestar) -> dict[str, Any]:
    """The document that is served, printed and drawn at /docs."""
    found = list(operations(app))
    told = [kind for one in found for kind in (one.form, one.answer, one.refusal, *one.notes.forms.values())]
    kinds = [kind for kind in told if kind not in (None, NoneType)]
    schemas = Schemas([*kinds, Problem])
    paths: dict[str, Any] = {}
    for one in found:
        paths.setdefault(one.path, {})[one.method] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": "/"}],
        "security": _security(()),
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components | examples.SCHEMAS,
            "responses": refusals.RESPONSES,
            "securitySchemes": _SCHEMES,
        },
    }


def _info() -> dict[str, Any]:
    return {
        "title": "IMEI gateway",
        "version": version("imei-gateway"),
        "description": _ABOUT,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }


def _operation(one: Operation, schemas: Schemas) -> dict[str, Any]:
    handler = one.handler
    described: dict[str, Any] = {
        "operationId": handler.operation_id,
        "tags": sorted(handler.resolve_tags()),
        "summary": handler.summary,
    }
    if handler.fn.__doc__:
        described["description"] = inspect.cleandoc(handler.fn.__doc__)
    if one.notes.open:
        described["security"] = []
    elif one.notes.needs:
        described["security"] = _security((one.notes.needs,))
    if parameters := list(_parameters(one)):
        described["parameters"] = parameters
    if body := _body(one, schemas):
        described["requestBody"] = {"required": not one.notes.bare, "content": body}
    same = {"304": refusals.UNCHANGED} if one.notes.tagged else {}
    same |= {"202": _waits(schemas)} if one.notes.proposes else {}
    described["responses"] = (
        {str(handler.status_code): _answer(one, schemas)}
        | same
        | refusals.of(
            one.notes,
            has_body=bool(body),
            has_id=any(
                parameter["schema"].get("type") == "integer"
                for parameter in parameters
                if parameter["in"] == "path"
            ),
            is_once=one.is_once,
            is_limited=one.is_limited,
            form=schemas.of(one.refusal) if one.refusal else None,
        )
    )
    return described


def _parameters(one: Operation) -> Iterator[dict[str, Any]]:
    for name, field in one.handler.parsed_fn_signature.parameters.items():
        note = field.kwarg_definition
        if not isinstance(note, QueryParameter | PathParameter):
            continue
        in_path = isinstance(note, PathParameter)
        schema = _parameter_schema(field.annotation, note, in_path)
        if field.has_default and field.default:
            schema["default"] = field.default
        place = "path" if in_path else "query"
        found: dict[str, Any] = {"name": note.name or name, "in": place, "schema": schema}
        if in_path or not field.has_default or found["name"] in one.notes.needed:
            found["required"] = True
        if note.description:
            found["description"] = note.description
        yield found
    yield from one.notes.headers
    if one.notes.tagged:
        yield _TAG
    if one.is_once:
        yield _KEY


def _parameter_schema(annotation: Any, note: QueryParameter | PathParameter, in_path: bool) -> dict[str, Any]:
    """Its schema; a parameter that is left out is left out, not null."""
    whole: dict[str, Any] = msgspec.json.schema(annotation)
    schema = next((form for form in whole.get("anyOf", ()) if form.get("type") != "null"), whole)
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "integer":
        schema["minimum"] = 1 if in_path or note.ge is None else note.ge
        schema["maximum"] = 2**63 - 1 if note.le is None else note.le
    return schema


def _body(one: Operation, schemas: Schemas) -> dict[str, Any]:
    name = str(one.handler.operation_id)
    if one.form is not None:
        return {"application/json": {"schema": schemas.of(one.form), "example": examples.REQUESTS[name]}}
    bodies = examples.BODIES[name] if one.notes.body else {}
    return bodies | ({form.TYPE: _form(one)} if name in examples.FORMS else {})


def _form(one: Operation) -> dict[str, Any]:
    """A form with a file, in which what the query may say can stand as well."""
    file = {"type": "string", "format": "binary", "description": "The file, in a part of any name."}
    fields = {
        field["name"]: field["schema"] | {"description": field["description"]}
        for field in _parameters(one)
        if field["in"] == "query"
    }
    schema = {"type": "object", "required": ["file"], "properties": {"file": file} | fields}
    return {"schema": schema, "example": examples.FORMS[str(one.handler.operation_id)]}


def _answer(one: Operation, schemas: Schemas) -> dict[str, Any]:
    name = str(one.handler.operation_id)
    kind, headers = one.notes.answer, _location(one) | (refusals.RATE if one.is_limited else {})
    headers |= one.notes.dialect.told if one.notes.dialect else {}
    headers |= refusals.TAG if one.notes.tagged else {}
    headers |= (
        {"Link": {"description": one.notes.link, "schema": {"type": "string"}}} if one.notes.link else {}
    )
    if one.answer is NoneType:
        found: dict[str, Any] = {"description": "The answer, in its headers"}
        return found | {"headers": headers} if headers else found
    content: dict[str, Any] = {
        "schema": schemas.of(one.answer) if kind == "application/json" else {"type": "string"}
    }
    if name in answers.ANSWERS:
        content["example"] = answers.ANSWERS[name]
    kinds = {kind: content} | {other: {"schema": {"type": "string"}} for other in one.notes.or_else}
    kinds |= {other: {"schema": schemas.of(form)} for other, form in one.notes.forms.items()}
    found = {"description": "Done" if one.method != "get" else "The answer", "content": kinds}
    if one.is_once:
        headers[once.REPLAYED] = {
            "description": "Stands in the answer to a repeat.",
            "schema": {"const": "true"},
        }
    return found | {"headers": headers} if headers else found


def _waits(schemas: Schemas) -> dict[str, Any]:
    """What is answered where others must approve it first."""
    content = {"application/json": {"schema": schemas.of(Proposal)}}
    location = {"description": "Where it can be read.", "schema": {"type": "string"}}
    return {
        "description": "Others must approve it first: this is the proposal, and nothing was done.",
        "headers": {"Location": location},
        "content": content,
    }


def _location(one: Operation) -> dict[str, Any]:
    location = {"description": "Where it can be read.", "schema": {"type": "string"}}
    return {"Location": location} if one.handler.status_code in (201, 202) else {}


@cache
def text(app: Litestar) -> bytes:
    """The document as it is served and stored."""
    return _json(document(app))


def files(app: Litestar) -> dict[str, bytes]:
    """The document, and each example of a request as it is sent, by their names in the folder openapi."""
    found = {"openapi.json": text(app)}
    for methods in document(app)["paths"].values():
        for operation in methods.values():
            for kind, body in operation.get("requestBody", {"content": {}})["content"].items():
                if "example" not in body:
                    continue
                sent = body["example"]
                name = f"examples/{operation['operationId']}.{_ENDINGS[kind]}"
                if kind == form.TYPE:
                    found[name] = examples.as_form(sent)
                elif kind == plain_form.TYPE:
                    found[name] = urlencode(sent).encode()
                else:
                    found[name] = sent.encode() if isinstance(sent, str) else _json(sent)
    return found


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def main() -> None:
    """Prints the document, or writes it and the examples into the folder that is named."""
    from app.api.routes import application

    app = application()
    if len(sys.argv) == 1:
        sys.stdout.buffer.write(text(app))
        return
    for name, content in files(app).items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
