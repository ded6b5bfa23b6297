"""A partner's secrets are sealed anew: with the first key, whichever key sealed them or none."""

from __future__ import annotations

from datetime import datetime

from app.access.roles import Principal
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.keyring import Keyring
from app.core.sql import queries
from app.delivery import partners, sealing

_SQL = queries("partners")


async def reseal(
    conn: Connection, partner_id: int, keyring: Keyring, actor: Principal, now: datetime
) -> bool:
    """Seals what the first key has not sealed, on the record. False where there is none. Raises Missing, or
    keyring.Locked where a secret cannot be opened."""
    partner = await partners.hold(conn, partner_id)
    settings = sealing.safe(keyring, partner_id, partner.adapter).resealed(partner.settings)
    tls = sealing.tls_safe(keyring, partner_id).resealed(partner.tls)
    if (settings, tls) == (partner.settings, partner.tls):
        return False
    await conn.execute(_SQL.keep_settings, partner_id, settings, tls)
    detail = {"key": keyring.first}
    await record(conn, [Entry("partner.sealed", f"partner:{partner_id}", actor.label, now, detail)])
    return True
