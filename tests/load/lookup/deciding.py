"""Decisions over HTTP: what the managers of these measurements say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp

from app.access.roles import Role

from .ground import Gateway


class Desk:
    """One who drafts and submits, and a second one who approves."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self._gateway = gateway
        self._session = session

    async def draft(self, **scope: Sequence[str]) -> int:
        said = {"title": "Load", "scope": scope}
        drafted = await self._said(Role.INCIDENT_MANAGER, "/v1/incidents", said)
        number: int = drafted["id"]
        return number

    async def submit(self, incident: int) -> None:
        await self._said(
            Role.INCIDENT_MANAGER, f"/v1/incidents/{incident}/submit", {"acknowledged": ["size", "sites"]}
        )

    async def approve(self, incident: int) -> None:
        await self._said(Role.APPROVER, f"/v1/incidents/{incident}/approve")

    async def _said(self, role: Role, path: str, said: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self._gateway.keys[role]}"}
        async with self._session.post(f"{self._gateway.url}{path}", json=said, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()
