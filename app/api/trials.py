"""A partner tried out over HTTP: the one request that a partner is called for at once, and not by the worker."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.core.config import Settings
from app.core.db import Pool
from app.core.keyring import Keyring
from app.delivery import trial
from app.delivery.trial import TrialOrder
from app.delivery.trial_report import Trial

_OURS = "The identifier is registered or was named in an incident here, or this partner was removed."


@post(
    "/{partner_id:int}/try",
    operation_id="tryPartner",
    status_code=200,
    summary="Try a partner out",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_OURS, needs=Permission.PARTNERS_WRITE).opt,
)
async def try_out(
    partner_id: FromPath[int],
    said: NamedDependency[TrialOrder],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Trial:
    """Really calls the partner, paused or not, about one test identifier: enrolled where its adapter enrols, blocked,
    and released again. Answers once that is done, within 45 s, with 200 however it went: look at `taken` and
    `still_blocked`. `{}` tries with an IMEI of the GSMA's test range, or a serial where the partner is told of serials
    only. One that was blocked there before is released only if it is ours, or on `release_only`."""
    wire = partial(trial.open_wire, files_root=settings.files_root)
    return await trial.tried(pool, partner_id, said, actor, now, keyring, wire)
