"""What somebody may still ask for. Every answer to him tells it, in the fields RateLimit and RateLimit-Policy
(draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from functools import lru_cache

from litestar.datastructures import State
from litestar.types import Scope

from app.access.quotas import WINDOW, Left, Quotas, exhausted
from app.access.roles import Principal
from app.api.watch import told
from app.core.errors import Exhausted


class Allowance:
    """The quota of one who asks, in one request."""

    def __init__(self, asker: Principal, state: State, scope: Scope) -> None:
        self._quotas: Quotas = state.quotas
        self._key_id = asker.key_id
        self._quota = state.settings.quota if asker.quota is None else asker.quota
        self._scope = scope

    async def spend(self, identifiers: int) -> None:
        """Raises Exhausted, or TooLarge where so many are never allowed at once."""
        if not self._quota or identifiers < 1:
            return
        try:
            left = await self._quotas.spend(self._key_id, self._quota, identifiers)
        except Exhausted:
            self._tell(Left(self._quota, 0, WINDOW))
            raise
        self._tell(left)

    async def spend_part(self, parts: int) -> None:
        """Takes so much that this can be done `parts` times a minute, or, with a small quota, as often as it has
        identifiers. Raises as above."""
        await self.spend(max(1, self._quota // parts))

    def refuse_if_used_up(self) -> None:
        """Raises Exhausted where it is known that nothing is left: then a question need not even be read."""
        wait = self._quotas.wait(self._key_id) if self._quota else 0
        if wait:
            self._tell(Left(self._quota, 0, WINDOW))
            raise exhausted(self._quota, wait)

    def _tell(self, left: Left) -> None:
        headers = told(self._scope)
        headers["ratelimit-policy"] = _policy(left.most)
        headers["ratelimit"] = f'"default";r={left.units};t={left.full_in}'


@lru_cache
def _policy(most: int) -> str:
    return f'"default";q={most};w={WINDOW}'
