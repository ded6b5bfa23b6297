"""Partners' later word over HTTP: what was accepted becomes confirmed or refused.

Whoever does not sign as a partner does learns nothing of partners: the refusal is made of the message alone, and is
the same whether there is such a partner or not. Why it was refused stands in our log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.adapters import registry, signature
from app.adapters.contract import Confirmation, Confirms, Outcome
from app.api import body
from app.api.notes import Notes
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, Pool, transaction
from app.core.errors import Conflict, GatewayError, Unauthorised
from app.core.keyring import Keyring
from app.delivery import confirm, partners
from app.delivery.confirm import Confirmed

# Of a message that anybody might send: it is read before its signature can be judged.
_MOST = 2**20
_UNSIGNED = "The message is not signed as this partner would; the same where there is no such partner."
_RIGHT = (
    f"It would have webhook-id (a name of its own, of at most {signature.LONGEST_ID} characters), webhook-timestamp"
    ' (the seconds since 1970) and webhook-signature: "v1," and the base64 of the HMAC-SHA256 of "id.timestamp.body"'
    " under the key that stands in base64 behind whsec_ in the secret that the partner and the gateway share."
)
_LOG = log.get("api")


@post(
    "/{partner_id:int}/confirmations",
    operation_id="confirmDeliveries",
    status_code=200,
    summary="A partner reports results",
    request_max_body_size=_MOST,
    opt=Notes(body=True, open=True, unsigned=_UNSIGNED).opt,
)
async def confirmations(
    partner_id: FromPath[int],
    request: Request[Any, Any, Any],
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
) -> Confirmed:
    """What was accepted becomes confirmed or refused. Results of what we have not told, late ones, and events of
    other kinds are counted as ignored.

    It is signed as Standard Webhooks 1.0 has it: `webhook-id` is the message's own name, of at most 255 characters;
    `webhook-timestamp` is the time of sending, in seconds since 1970 and at most 300 s from our clock;
    `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of `webhook-id`, a dot, `webhook-timestamp`, a dot
    and the body as it is sent. The key is what stands in base64 behind `whsec_` in the secret. A message that comes
    twice, by its `webhook-id`, counts once.

    Of our own adapters one takes confirmations: `knox_guard`, signed with its setting `webhook_secret`. Its body is
    `{"events": […]}`, each event with `eventType` and `deviceUid` (the IMEI or serial), and perhaps `code`, `message`
    and `objectId`. `KG_DEVICE_LOCKED` and `KG_DEVICE_UNLOCKED` confirm, `KG_DEVICE_LOCK_FAILED` and
    `KG_DEVICE_UNLOCK_FAILED` refuse. `webhook` and all others have their results in the answers to our calls, or in
    acknowledgement files; an adapter of another package may have a form of its own."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    wrong = signature.misfit(headers, now)
    try:
        async with pool.acquire(timeout=10) as conn:
            (await _listening(conn, keyring, partner_id, headers)).announced(headers, now)
    except GatewayError as error:
        if not wrong:
            # Nobody can tell a partner that is not there by our not reading what is sent to it.
            await body.whole(request)
        raise _refused(partner_id, wrong, error) from None
    message = await body.whole(request)

    async def work(conn: Connection) -> Confirmed:
        try:
            results = await _results(conn, keyring, partner_id, headers, message, now)
        except Unauthorised as error:
            raise _refused(partner_id, wrong, error) from None
        number = headers.get("webhook-id", "")
        if number and not await confirm.is_new(conn, partner_id, number, now):
            return Confirmed(0, len(results))
        return await _booked(conn, partner_id, results, now)

    return await transaction(pool, work)


async def _listening(
    conn: Connection, keyring: Keyring, partner_id: int, headers: Mapping[str, str]
) -> Confirms:
    """The adapter that can tell who signed. Raises GatewayError where there is none."""
    if len(headers.get("webhook-id", "")) > signature.LONGEST_ID:
        raise Unauthorised("The webhook-id is too long to be kept.")
    partner = await partners.find(conn, partner_id)
    partners.must_be_there(partner)
    adapter = registry.make(partner.adapter, partner.opened(keyring).settings)
    if not isinstance(adapter, Confirms):
        raise Conflict(f"The adapter {partner.adapter} answers at once and reports nothing later.")
    return adapter


async def _results(
    conn: Connection,
    keyring: Keyring,
    partner_id: int,
    headers: Mapping[str, str],
    message: bytes,
    now: datetime,
) -> Sequence[Confirmation]:
    """The results in a message. Raises Unauthorised, or Invalid where it is signed and of another form."""
    try:
        adapter = await _listening(conn, keyring, partner_id, headers)
    except GatewayError as error:
        raise Unauthorised(error.detail) from None
    return adapter.confirmations(headers, message, now)


async def _booked(
    conn: Connection, partner_id: int, results: Sequence[Confirmation], now: datetime
) -> Confirmed:
    words = {it.answer.code for it in results if it.answer.outcome is Outcome.UNKNOWN}
    if words:
        _LOG.info("confirmations.unheard", partner=partner_id, words=sorted(words)[:10])
    booked = await confirm.confirm(conn, partner_id, results, now)
    partner = await partners.find(conn, partner_id)
    detail = msgspec.to_builtins(booked)
    await record(conn, [Entry("delivery.confirmed", f"partner:{partner_id}", partner.name, now, detail)])
    return booked


def _refused(partner_id: int, wrong: str, why: GatewayError) -> Unauthorised:
    _LOG.info("confirmations.refused", partner=partner_id, why=why.detail)
    flaw = wrong or "its webhook-signature is none that is known here"
    return Unauthorised(f"The message is not signed as this partner would: {flaw}. {_RIGHT}", "unsigned")
