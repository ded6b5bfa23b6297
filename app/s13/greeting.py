"""What two Diameter peers say to each other before and between questions (RFC 6733 clause 5): capabilities, watchdog,
disconnection. Pure: reads no socket."""

from __future__ import annotations

from diameter.message.avp.avp import Avp

from app.core import imei
from app.s13 import avps
from app.s13.avps import Command, Message, Refused, Result
from app.s13.peers import Identity, Peer, Peers

_PRODUCT = "IMEI gateway"
_NO_INBAND_SECURITY = 0
_REBOOTING = 0
_ABLE = {avps.S13, avps.RELAY}


def known(request: Message, peers: Peers) -> Peer:
    """Who says hello. Raises Refused for somebody we do not know, and for one with whom we have nothing in common."""
    if request.fault:
        raise request.fault
    for name in (avps.ORIGIN_HOST, avps.ORIGIN_REALM):
        if request.one(name) is None:
            raise Refused(Result.MISSING_AVP, f"AVP {name[0]} is missing.", avps.empty(name))
    host = origin(request)
    peer = peers.get(host.lower())
    if peer is None:
        raise Refused(Result.UNKNOWN_PEER, f"'{imei.shown(host, 80)}' is no peer of this gateway.")
    if not _ABLE & _applications(request):
        raise Refused(Result.NO_COMMON_APPLICATION, f"Only S13, {avps.S13} of vendor 10415, is spoken here.")
    security = {_number(avp) for avp in request.all(avps.INBAND_SECURITY_ID)}
    if security and _NO_INBAND_SECURITY not in security:
        raise Refused(Result.NO_COMMON_SECURITY, "There is no TLS here; security is the network's.")
    return peer


def origin(request: Message) -> str:
    """The Origin-Host as it was said, '' where there is none."""
    said = request.one(avps.ORIGIN_HOST)
    return said.payload.decode("ascii", "replace") if said else ""


def _applications(request: Message) -> set[int]:
    said = request.all(avps.AUTH_APPLICATION_ID)
    for group in request.all(avps.VENDOR_SPECIFIC_APPLICATION_ID):
        said += [avp for avp in avps.members(group) if (avp.code, avp.vendor_id) == avps.AUTH_APPLICATION_ID]
    return {_number(avp) for avp in said}


def _number(avp: Avp) -> int:
    return int.from_bytes(avp.payload, "big")


def welcome(request: Message, ours: Identity, address: str) -> bytes:
    """The answer to capabilities that fit; `address` is ours, as the peer has reached it."""
    application = [avps.new(avps.VENDOR_ID, avps.TGPP), avps.new(avps.AUTH_APPLICATION_ID, avps.S13)]
    said = [
        avps.new(avps.RESULT_CODE, int(Result.SUCCESS)),
        *_us(ours),
        avps.new(avps.HOST_IP_ADDRESS, address),
        avps.new(avps.VENDOR_ID, 0),
        avps.new(avps.PRODUCT_NAME, _PRODUCT),
        avps.new(avps.ORIGIN_STATE_ID, ours.state_id),
        avps.new(avps.SUPPORTED_VENDOR_ID, avps.TGPP),
        avps.new(avps.VENDOR_SPECIFIC_APPLICATION_ID, application),
    ]
    return request.reply(said)


def unwelcome(request: Message, ours: Identity, why: Refused) -> bytes:
    return request.reply([*_us(ours), *why.said], why.result)


def done(request: Message, ours: Identity) -> bytes:
    """The answer to a watchdog, and to a farewell."""
    said = [avps.new(avps.RESULT_CODE, int(Result.SUCCESS)), *_us(ours)]
    return request.reply([*said, avps.new(avps.ORIGIN_STATE_ID, ours.state_id)])


def watchdog(ours: Identity, number: int) -> bytes:
    """Asks a peer that is silent whether it is there."""
    return avps.request(Command.WATCHDOG, number, [*_us(ours), avps.new(avps.ORIGIN_STATE_ID, ours.state_id)])


def farewell(ours: Identity, number: int) -> bytes:
    """Tells a peer that we are about to end, and may be back soon."""
    return avps.request(Command.DISCONNECT, number, [*_us(ours), avps.new(avps.DISCONNECT_CAUSE, _REBOOTING)])


def _us(ours: Identity) -> list[Avp]:
    return [avps.new(avps.ORIGIN_HOST, ours.host.encode()), avps.new(avps.ORIGIN_REALM, ours.realm.encode())]
