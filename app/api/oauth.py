"""OAuth 2.0 client credentials (RFC 6749, clause 4.4): who has a key is given a token for some of what the key may."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from typing import Literal
from urllib.parse import unquote_plus

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency

from app.access import bearers, keys, tokens
from app.access.bearers import Doorman
from app.access.roles import Principal
from app.access.tokens import Grant
from app.api import body, certificate, plain_form
from app.api.allowance import Allowance
from app.api.caller import at_home
from app.api.dialect import Dialect
from app.api.notes import Notes
from app.api.problems import AnyRequest, Problem
from app.audit.record import Entry, record
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import Invalid, Unauthorised

Word = Literal[
    "invalid_request", "invalid_client", "invalid_scope", "unauthorized_client",
    "unsupported_grant_type", "server_error", "temporarily_unavailable",
]  # fmt: skip
_MOST = 16 * 1024
TOKENS_A_MINUTE = 600
_NOT_KEPT = {"Cache-Control": "no-store"}
_BASIC = {"WWW-Authenticate": 'Basic realm="imei-gateway"'}
_RIGHT = "client_id would be the id of a key (k_…), client_secret the whole key (imei_k_…)."
_WORDS: dict[str, Word] = {
    "invalid_client": "invalid_client",
    "address-refused": "unauthorized_client",
    "unsupported_grant_type": "unsupported_grant_type",
    "scope-unknown": "invalid_scope",
}


class TokenAnswer(msgspec.Struct, frozen=True):
    """A token, how many seconds it lasts, and its scopes with spaces between."""

    access_token: str
    expires_in: int
    scope: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme


class TokenRefusal(msgspec.Struct, frozen=True):
    """What is wrong, in the words of RFC 6749, clause 5.2 (and of 4.1.2.1 where that is with us), and for people."""

    error: Word
    error_description: str


def _refusal(_: AnyRequest, problem: Problem) -> TokenRefusal:
    of_ours: Word = "temporarily_unavailable" if problem.status == 503 else "server_error"
    usual: Word = "invalid_request" if problem.status < 500 else of_ours
    return TokenRefusal(_WORDS.get(problem.code, usual), problem.detail)


def _headers(_: AnyRequest, problem: Problem) -> dict[str, str]:
    return _NOT_KEPT | (_BASIC if problem.status == 401 else {})


DIALECT = Dialect("/oauth2/", TokenRefusal, _refusal, media_type="application/json", headers=_headers)


@post(
    "/token",
    operation_id="issueToken",
    status_code=200,
    summary="A token for a while, for who has a key",
    request_max_body_size=_MOST,
    opt=Notes(body=True, open=True, unsigned=f"The client is not known. {_RIGHT}", dialect=DIALECT).opt,
)
async def token(
    request: AnyRequest,
    doorman: NamedDependency[Doorman],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[TokenAnswer]:
    """A client that speaks OAuth 2.0 shows its key here, and the token everywhere else, until the token is over or
    the key is revoked. The client says who it is by HTTP Basic, or by `client_id` and `client_secret` in the form:
    the id of the key, and the whole key. `scope` narrows the token to some of what the key may: `n5g-eir-eic`,
    `device-authenticity:check-status`, `status:read` and so on; without it, the token may what the key may. Where a
    trusted proxy names the client's certificate (`Client-Cert`, RFC 9440), the token is good only with that
    certificate (RFC 8705)."""
    said = await _form(request)
    holder = await _client(request, said, doorman)
    # Each is written down for ever: so many a minute, whatever the quota is.
    await Allowance(holder, request.app.state, request.scope).spend_part(TOKENS_A_MINUTE)
    shown = certificate.thumbprint(request)
    lasts = settings.token_seconds

    async def work(conn: Connection) -> Grant:
        made = await tokens.issue(
            conn,
            holder,
            said.get("scope", "").split(),
            seconds=lasts,
            certificate=shown,
            random=secrets.token_bytes,
        )
        await record(conn, [_entry(holder, made, shown, now)])
        return made

    made = await transaction(pool, work)
    answer = TokenAnswer(made.token, made.seconds, " ".join(made.scopes))
    return Response(answer, headers=_NOT_KEPT)


def _entry(holder: Principal, made: Grant, shown: bytes | None, now: datetime) -> Entry:
    detail = {"scopes": made.scopes, "seconds": made.seconds, "certificate": shown.hex() if shown else ""}
    return Entry("token.issued", f"key:{holder.key_id}", holder.label, now, detail)


async def _form(request: AnyRequest) -> dict[str, str]:
    """The form; parameters that are not known are passed over, as RFC 6749 wants it."""
    if body.sent_as(request) != plain_form.TYPE:
        raise Invalid(f"The request would be a form, sent as {plain_form.TYPE}.", "invalid_request")
    said = plain_form.fields(await body.whole(request))
    if (grant := said.get("grant_type")) != "client_credentials":
        known = "unsupported_grant_type" if grant else "invalid_request"
        raise Invalid("grant_type would be client_credentials.", known)
    return said


async def _client(request: AnyRequest, said: dict[str, str], doorman: Doorman) -> Principal:
    name, secret = _credentials(request, said)
    try:
        holder = at_home(request, await bearers.known(doorman, keys.claim(secret)))
    except Unauthorised as error:
        raise Unauthorised(error.detail, "invalid_client") from None
    if holder.key_id != name:
        raise Unauthorised("The client_secret is a key of another id than client_id.", "invalid_client")
    return holder


def _credentials(request: AnyRequest, said: dict[str, str]) -> tuple[str, str]:
    """The client's name and secret. Raises Invalid where it says them in two ways, Unauthorised where in none."""
    scheme, _, coded = request.headers.get("authorization", "").partition(" ")
    in_form = "client_id" in said or "client_secret" in said
    if scheme and in_form:
        raise Invalid(
            "The client says who it is by HTTP Basic or in the form, not in both.", "invalid_request"
        )
    if in_form:
        return said.get("client_id", ""), said.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
    except ValueError:
        name = secret = ""
    if scheme.lower() != "basic" or not secret:
        raise Unauthorised(f"The client does not say who it is. {_RIGHT}", "invalid_client")
    return unquote_plus(name), unquote_plus(secret)


router = Router("/oauth2", route_handlers=[token], tags=["Tokens"])
