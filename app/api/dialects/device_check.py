"""A check of one device in the style of the GSMA's Device Check: a form or JSON in, Yes or No for each list out, with
the blocks of the device. A style: the GSMA's own specification is not public, nor is the table of its reason codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency

from app.access.roles import Permission, Principal
from app.api import body, flaws, plain_form
from app.api.dialect import Dialect
from app.api.notes import Notes
from app.api.problems import AnyRequest, Problem
from app.api.watch import told
from app.blocklist.ask import key_of
from app.blocklist.enquiry import Enquiries
from app.blocklist.history import Block, blocks
from app.blocklist.lookout import Via
from app.blocklist.standing import ReasonClass, Status
from app.core import strict
from app.core.config import Settings
from app.core.db import Pool
from app.devices import tac

_VIA = Via("device-check")
PATH = "/device-check/"
YesOrNo = Literal["Yes", "No"]
Reason = tuple[str, str]
# The codes that are known in public, and what they mean, of a block and of its end. For fraud none is: a setting.
_STOLEN_OR_LOST: Reason = ("0011", "Stolen or Lost")
_FOUND: Reason = ("0014", "Lost and Found")
_REASONS: Mapping[ReasonClass, tuple[Reason, Reason]] = {
    ReasonClass.STOLEN: (_STOLEN_OR_LOST, _FOUND),
    ReasonClass.LOST: (_STOLEN_OR_LOST, _FOUND),
}
_FRAUD, _CLEARED = "Fraud", "Fraud cleared"


class DeviceQuestion(msgspec.Struct, frozen=True):
    """A device by its IMEI, and whatever its asker is called there: it stands in the answer, and is not looked at."""

    deviceid: Annotated[str, msgspec.Meta(description="14, 15 or 16 digits.")]
    partnerid: Annotated[str, msgspec.Meta(max_length=100)] = ""


class DeviceHistory(msgspec.Struct, frozen=True):
    """A block, or its end. `date` is in UTC. `by` and `Country` say who runs this gateway, as far as he tells it."""

    action: Literal["Block Insert", "Block Remove"]
    reasoncode: str
    reasoncodedesc: str
    date: str
    by: str
    country: str = msgspec.field(name="Country")


class DeviceCheck(msgspec.Struct, frozen=True):
    """The lists on which a device is, each by its name and by its older one; its blocks, the oldest first; and what
    its TAC stands for, as far as it is known here. `refcode` is the reference to quote, or the request's id."""

    refcode: str
    responsestatus: Literal["success"]
    deviceid: str
    partnerid: str
    blockliststatus: YesOrNo
    blackliststatus: YesOrNo
    generalliststatus: YesOrNo
    greyliststatus: YesOrNo
    imeihistory: list[DeviceHistory]
    manufacturer: str
    brandname: str
    marketingname: str
    modelname: str


class DeviceCheckRefusal(msgspec.Struct, frozen=True):
    """A refusal: the request's id, a code for machines, and what is wrong and would be right. This form is ours."""

    refcode: str
    responsestatus: Literal["error"]
    errorcode: str
    errordesc: str


def _refusal(request: AnyRequest, problem: Problem) -> DeviceCheckRefusal:
    return DeviceCheckRefusal(_request_id(request), "error", problem.code, problem.detail)


def _request_id(request: AnyRequest) -> str:
    return told(request.scope)["x-request-id"]


DIALECT = Dialect(PATH, DeviceCheckRefusal, _refusal, media_type="application/json")


@post(
    "/query",
    operation_id="checkDevice",
    status_code=200,
    request_max_body_size=body.FEW,
    summary="Check a device in the style of the GSMA's Device Check",
    opt=Notes(body=True, dialect=DIALECT, needs=Permission.STATUS_READ).opt,
)
async def check_device(
    request: AnyRequest,
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
) -> DeviceCheck:
    """Blocked is on the block list; suspect is on the general list, which is for devices that somebody lays claim to
    while nobody has blocked them, and which a buyer should ask about. The history tells blocks and their ends: no
    incident and no owner. The fields `manufacturer` and `brandname`, `marketingname` and `modelname` are the same, for
    one brand and one model are known of a TAC. Fields that are not known are passed over."""
    said = await _question(request)
    key = key_of(said.deviceid)
    standing = (await enquiries.one(asker, key, _VIA)).standing
    async with pool.acquire(timeout=10) as conn:
        history = await blocks(conn, key, standing)
        make = await tac.make(conn, key)
    blocked, suspect = _yes(standing.status is Status.BLOCKED), _yes(standing.status is Status.SUSPECT)
    return DeviceCheck(
        refcode=standing.reference or _request_id(request),
        responsestatus="success",
        deviceid=f"{key:014d}",
        partnerid=said.partnerid,
        blockliststatus=blocked,
        blackliststatus=blocked,
        generalliststatus=suspect,
        greyliststatus=suspect,
        imeihistory=[entry for block in history for entry in _entries(block, settings)],
        manufacturer=make.brand,
        brandname=make.brand,
        marketingname=make.model,
        modelname=make.model,
    )


async def _question(request: AnyRequest) -> DeviceQuestion:
    """What is asked, as a form or as JSON. Raises Invalid, NotTaken."""
    if body.sent_as(request) != plain_form.TYPE:
        asked: DeviceQuestion = await body.read(request, DeviceQuestion, plain_form.TYPE)
        return asked
    said = plain_form.fields(await body.whole(request))
    try:
        return msgspec.convert(said, DeviceQuestion)
    except msgspec.ValidationError:
        raise strict.wrong(flaws.misfits(DeviceQuestion, said)) from None


def _yes(true: bool) -> YesOrNo:
    return "Yes" if true else "No"


def _entries(block: Block, settings: Settings) -> Iterator[DeviceHistory]:
    begun, ended = _REASONS.get(block.reason) or _of_fraud(settings)
    by, country = settings.device_check_by, settings.device_check_country
    yield DeviceHistory("Block Insert", *begun, _date(block.since), by, country)
    if block.until:
        yield DeviceHistory("Block Remove", *ended, _date(block.until), by, country)


def _of_fraud(settings: Settings) -> tuple[Reason, Reason]:
    begun, _, ended = settings.device_check_fraud_codes.partition(",")
    return (begun, _FRAUD), (ended, _CLEARED)


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.0"


router = Router(f"{PATH}v1", route_handlers=[check_device], tags=["Device Check"])
