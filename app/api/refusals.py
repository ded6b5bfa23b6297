"""What the OpenAPI document says of refusals: which a route can give, and in what form."""

from __future__ import annotations

from typing import Any

from app.api.dialect import Dialect
from app.api.notes import Notes

_TYPE = "application/problem+json"
_PROBLEM = {_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


_UNDER_WAY = "The same request, under the same `Idempotency-Key`, is being worked on at this moment."


def _text(description: str, **example: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, **example}


RATE = {
    "RateLimit-Policy": _text(
        'How many identifiers the key may ask for in how many seconds: `"default";q=600000;w=60`. Absent where it may'
        " ask for any number."
    ),
    "RateLimit": _text(
        'How many of them are left, and in how many seconds none is missing: `"default";r=599;t=1`. Where too few are'
        " left (429), `Retry-After` says when there are enough."
    ),
}
_LATER = {"Retry-After": _text("Seconds to wait.")}
TAG = {"ETag": _text("What this answer is known by, for `If-None-Match`.")}
UNCHANGED = {"description": "What you have is what there is.", "headers": TAG}
RESPONSES: dict[str, Any] = {
    "Wrong": {
        "description": "What was sent is wrong; `errors` name each place.",
        "content": {
            _TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": {
                    "title": "The request is wrong",
                    "status": 400,
                    "detail": "IMEI 490154203237517 fails the Luhn check: its last digit would be 8."
                    " Nothing was done.",
                    "code": "scope-flaws",
                    "errors": [
                        {
                            "detail": "IMEI 490154203237517 fails the Luhn check: its last digit would be 8.",
                            "pointer": "/scope/imeis/0",
                            "code": "imei-check-digit",
                        }
                    ],
                },
            }
        },
    },
    "Unauthorised": {
        "description": "No key came with the request, or one that is not known here.",
        "headers": {"WWW-Authenticate": _text("How to say who is asking.")},
        "content": _PROBLEM,
    },
    "Forbidden": {"description": "The key is known, and may not do this.", "content": _PROBLEM},
    "Missing": {"description": "There is no such thing.", "content": _PROBLEM},
    "TooSlow": {
        "description": "The body did not come in time: 10 s, and one more for every 16 KB.",
        "content": _PROBLEM,
    },
    "TooLarge": {"description": "The body is over a limit, which is named.", "content": _PROBLEM},
    "NotTaken": {
        "description": "The body is of a type, or compressed in a way, that is not taken here.",
        "headers": {
            "Accept": _text("The types that are taken, where it is of another."),
            "Accept-Encoding": _text("The content codings that are taken, where it is in another."),
        },
        "content": _PROBLEM,
    },
    "NotKept": {
        "description": "Done before under this `Idempotency-Key`, and answered with more than 64 KB, which are"
        " not kept; `detail` says what the status was.",
        "headers": {"Location": _text("Where what came of it can be read, if it has a place.")},
        "content": _PROBLEM,
    },
    "Reused": {
        "description": "This `Idempotency-Key` came with another query, content type, content coding or body before.",
        "content": _PROBLEM,
    },
    "Exhausted": {
        "description": "The key's quota is used up.",
        "headers": RATE | {"Retry-After": _text("Seconds until there is enough of it again.")},
        "content": _PROBLEM,
    },
    "Unavailable": {
        "description": "A part of ours is away for now; the same request may succeed in a moment.",
        "headers": _LATER,
        "content": _PROBLEM,
    },
}


def of(
    notes: Notes,
    *,
    has_body: bool,
    has_id: bool,
    is_once: bool,
    is_limited: bool,
    form: dict[str, Any] | None,
) -> dict[str, Any]:
    """The refusals of one route, by status; `form` is the schema of those of its dialect."""
    found: dict[str, Any] = {}
    if notes.dialect or not notes.any_query:
        found["400"] = _ref("Wrong")
    if not notes.open:
        found |= {"401": _ref("Unauthorised"), "403": _ref("Forbidden")}
    if notes.unsigned:
        found["401"] = {"description": notes.unsigned, "content": _PROBLEM}
    if has_id:
        found["404"] = _ref("Missing")
    if notes.missing:
        found["404"] = {"description": notes.missing, "content": _PROBLEM}
    if notes.unacceptable:
        found["406"] = {"description": notes.unacceptable, "content": _PROBLEM}
    if notes.gone:
        found["410"] = {"description": notes.gone, "content": _PROBLEM}
    if notes.conflict:
        found["409"] = {"description": notes.conflict, "content": _PROBLEM}
    if is_once:
        found |= {"409": _conflict(notes), "410": _ref("NotKept"), "422": _ref("Reused")}
    # For its key, a body is read even where it says nothing.
    if has_body or is_once:
        found |= {"408": _ref("TooSlow"), "413": _ref("TooLarge"), "415": _ref("NotTaken")}
    if is_limited:
        found["429"] = _ref("Exhausted")
    if notes.closed:
        found["429"] = {"description": notes.closed, "headers": _LATER, "content": _PROBLEM}
    found = dict(sorted((found | {"503": _ref("Unavailable")}).items()))
    return found if notes.dialect is None else _in_dialect(notes.dialect, form, found)


def _in_dialect(dialect: Dialect, form: dict[str, Any] | None, refusals: dict[str, Any]) -> dict[str, Any]:
    """The same refusals, and any other, as the dialect has them."""
    content = {dialect.media_type: {"schema": form}}
    found = {}
    for status, refusal in (refusals | {"default": {"description": "Any other refusal."}}).items():
        told = RESPONSES[refusal["$ref"].rpartition("/")[2]] if "$ref" in refusal else refusal
        headers = {**told.get("headers", {}), **dialect.told}
        # How it is told what is wrong is the dialect's own.
        found[status] = {"description": told["description"].partition("; `errors`")[0]}
        found[status] |= ({"headers": headers} if headers else {}) | {"content": content}
    return found


def _conflict(notes: Notes) -> dict[str, Any]:
    return {
        "description": f"{notes.conflict} Or: {_UNDER_WAY}" if notes.conflict else _UNDER_WAY,
        "headers": {"Retry-After": _text("Seconds to wait, for the same request that is under way.")},
        "content": _PROBLEM,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{name}"}
