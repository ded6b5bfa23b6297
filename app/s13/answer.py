"""ME-Identity-Check (TS 29.272 clauses 5.2.3.1 and 7.2.19): what a request asks, and what an answer says. Pure: reads
no socket and no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from diameter.message.avp.avp import Avp

from app.access.roles import Permission, Principal
from app.blocklist.standing import Status
from app.s13 import avps
from app.s13.avps import Command, Message, Name, Refused, Result
from app.s13.peers import Identity

_REQUIRED = (
    avps.SESSION_ID, avps.AUTH_SESSION_STATE, avps.ORIGIN_HOST, avps.ORIGIN_REALM, avps.DESTINATION_REALM,
    avps.TERMINAL_INFORMATION,
)  # fmt: skip
_ONCE = {*_REQUIRED, avps.DESTINATION_HOST, avps.VENDOR_SPECIFIC_APPLICATION_ID, avps.USER_NAME}
# Those that must be understood if they are marked so; most of them mean nothing to us.
_UNDERSTOOD = _ONCE | {
    avps.AUTH_APPLICATION_ID, avps.DRMP, avps.OC_SUPPORTED_FEATURES, avps.ORIGIN_STATE_ID, avps.PROXY_INFO,
    avps.ROUTE_RECORD, avps.SUPPORTED_FEATURES,
}  # fmt: skip
# TAC and SNR; a 15th digit may follow them and is never judged (TS 29.272 clause 7.3.4).
_IMEI = re.compile(rb"([0-9]{14})[0-9]?\Z")
_IMSI = re.compile(rb"([0-9]{3})[0-9]{2,12}\Z")

_NO_STATE_MAINTAINED = 1
_WHITELISTED, _BLACKLISTED, _GREYLISTED = range(3)
_STATUSES = {Status.CLEAR: _WHITELISTED, Status.BLOCKED: _BLACKLISTED, Status.SUSPECT: _GREYLISTED}
# By the words of the setting IMEI_GATEWAY_UNKNOWN_EQUIPMENT.
_INSTEAD = {"WHITELISTED": _WHITELISTED, "BLACKLISTED": _BLACKLISTED, "GREYLISTED": _GREYLISTED}


def asked(request: Message, ours: Identity) -> int | None:
    """The key of the equipment that is asked for; None for one without an IMEI, which nobody can know. Raises
    Refused."""
    _header(request)
    if request.fault:
        raise request.fault
    held: dict[Name, list[Avp]] = {}
    for avp in request.avps:
        held.setdefault((avp.code, avp.vendor_id), []).append(avp)
    _present(held)
    _understood(held)
    _for_us(held, ours)
    return _key(held[avps.TERMINAL_INFORMATION][0])


def _header(request: Message) -> None:
    """The rest of what peers say to each other is heard before it comes here."""
    if request.flags & avps.ERROR:
        raise Refused(Result.INVALID_HDR_BITS, "A request has no error bit.")
    if request.application != avps.S13:
        sentence = f"Application {request.application} is not spoken here; S13 is {avps.S13}."
        raise Refused(Result.APPLICATION_UNSUPPORTED, sentence)
    if request.command != Command.ME_IDENTITY_CHECK:
        sentence = f"Command {request.command} is none of S13's; ME-Identity-Check is 324."
        raise Refused(Result.COMMAND_UNSUPPORTED, sentence)


def _present(held: Mapping[Name, Sequence[Avp]]) -> None:
    for name in _REQUIRED:
        if name not in held:
            raise _missing(name, avps.empty(name))
    for name in _ONCE & held.keys():
        _single(held[name])


def _single(found: Sequence[Avp]) -> None:
    if len(found) > 1:
        sentence = f"AVP {found[0].code} is there {len(found)} times; it would be once."
        raise Refused(Result.AVP_OCCURS_TOO_MANY_TIMES, sentence, found[1])


def _missing(name: Name, failed: Avp) -> Refused:
    return Refused(Result.MISSING_AVP, f"AVP {name[0]} is missing.", failed)


def _understood(held: Mapping[Name, Sequence[Avp]]) -> None:
    for name in held.keys() - _UNDERSTOOD:
        for avp in held[name]:
            if avp.is_mandatory:
                sentence = f"AVP {avp.code} of vendor {avp.vendor_id} is not understood here."
                raise Refused(Result.AVP_UNSUPPORTED, sentence, avp)


def _for_us(held: Mapping[Name, Sequence[Avp]], ours: Identity) -> None:
    """We are no relay: what is for somebody else goes nowhere."""
    if not _is(held[avps.DESTINATION_REALM][0], ours.realm):
        raise Refused(Result.REALM_NOT_SERVED, f"The realm here is {ours.realm}.")
    host = held.get(avps.DESTINATION_HOST)
    if host and not _is(host[0], ours.host):
        raise Refused(Result.UNABLE_TO_DELIVER, f"The host here is {ours.host}.")


def _is(avp: Avp, identity: str) -> bool:
    return avp.payload.lower() == identity.lower().encode()


def _key(terminal: Avp) -> int | None:
    """What is at fault is named inside of the group in which it stands, as clause 7.5 of RFC 6733 has it."""
    held = avps.members(terminal)
    found = [avp for avp in held if (avp.code, avp.vendor_id) == avps.IMEI]
    if not found:
        if any((avp.code, avp.vendor_id) == avps.MEID for avp in held):
            return None
        raise _missing(avps.IMEI, avps.new(avps.TERMINAL_INFORMATION, [avps.empty(avps.IMEI)]))
    _single(found)
    match = _IMEI.match(found[0].payload)
    if match is None:
        failed = avps.new(avps.TERMINAL_INFORMATION, [found[0]])
        raise Refused(Result.INVALID_AVP_VALUE, "An IMEI has 14 digits, or 15.", failed)
    return int(match[1])


def place(request: Message) -> str:
    """The country of the SIM, by the mobile country code of an IMSI (TS 23.003 clause 2.2); nothing else of it is
    kept."""
    name = request.one(avps.USER_NAME)
    found = _IMSI.match(name.payload) if name else None
    return f"mcc:{found[1].decode()}" if found else ""


def allowed(asker: Principal | None) -> None:
    """Raises Refused for a peer whose key is revoked, or of a role that may not ask.

    The peer is who it says it is, so it is not authentication that fails (RFC 6733 clause 7.1.5)."""
    if asker is None:
        sentence = (
            "The key of this peer is unknown or revoked; the gateway's administrator can give it another."
        )
    elif not asker.may(Permission.STATUS_READ):
        sentence = f"The key of this peer has the role {asker.role}, which may not ask; a carrier may."
    else:
        return
    raise Refused(Result.AUTHORIZATION_REJECTED, sentence)


def away() -> Refused:
    """The database does not answer. 3004 tells a peer to ask another one, now or later, and may be acted on by relays;
    5012 is for good (RFC 6733 clauses 7.1.3 and 7.1.5)."""
    return Refused(Result.TOO_BUSY, "The status cannot be read at this moment; ask again.")


def told(request: Message, ours: Identity, status: Status, unknown: str) -> bytes:
    """The answer; `unknown` is what unknown equipment is, by the setting."""
    return request.reply(_answer(request, ours, _said(_STATUSES.get(status, _INSTEAD.get(unknown)))))


@cache
def _said(status: int | None) -> bytes:
    if status is None:
        code = avps.new(avps.EXPERIMENTAL_RESULT_CODE, int(Result.EQUIPMENT_UNKNOWN))
        return avps.packed([avps.new(avps.EXPERIMENTAL_RESULT, [avps.new(avps.VENDOR_ID, avps.TGPP), code])])
    success = avps.new(avps.RESULT_CODE, int(Result.SUCCESS))
    return avps.packed([success, avps.new(avps.EQUIPMENT_STATUS, status)])


def refused(request: Message, ours: Identity, why: Refused) -> bytes:
    """The answer to a request that cannot have another one."""
    return request.reply(_answer(request, ours, avps.packed(why.said)), why.result)


def _answer(request: Message, ours: Identity, said: bytes) -> list[Avp | bytes]:
    """Session-Id first, where there is one (RFC 6733 clause 8.8); Proxy-Info as it came, in the same order."""
    return [*request.all(avps.SESSION_ID)[:1], _always(ours), said, *request.all(avps.PROXY_INFO)]


@cache
def _always(ours: Identity) -> bytes:
    application = [avps.new(avps.VENDOR_ID, avps.TGPP), avps.new(avps.AUTH_APPLICATION_ID, avps.S13)]
    return avps.packed(
        [
            avps.new(avps.VENDOR_SPECIFIC_APPLICATION_ID, application),
            avps.new(avps.AUTH_SESSION_STATE, _NO_STATE_MAINTAINED),
            avps.new(avps.ORIGIN_HOST, ours.host.encode()),
            avps.new(avps.ORIGIN_REALM, ours.realm.encode()),
        ]
    )
