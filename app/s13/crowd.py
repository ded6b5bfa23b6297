"""Who is connected, and how many may be: a stranger has a few connections for a moment, so that a thousand of them keep
no peer out."""

from __future__ import annotations

from collections import Counter

# Before they have said who they are: from all addresses, and from one.
STRANGERS, STRANGERS_FROM_ONE = 256, 16
# A peer whose network failed may still have old ones, until the watchdog ends them.
OF_A_PEER = 8


class Crowd:
    """Counts connections: strangers by their address, peers by their host."""

    def __init__(self) -> None:
        self._strangers = Counter[str]()
        self._peers = Counter[str]()

    def enter(self, address: str) -> bool:
        """Whether there is room for one more stranger, who is counted then."""
        if self._strangers.total() >= STRANGERS or self._strangers[address] >= STRANGERS_FROM_ONE:
            return False
        self._strangers[address] += 1
        return True

    def join(self, address: str, host: str) -> bool:
        """Whether this stranger may be a peer, which it is counted as then."""
        if self._peers[host] >= OF_A_PEER:
            return False
        self.leave(address, None)
        self._peers[host] += 1
        return True

    def leave(self, address: str, host: str | None) -> None:
        """A stranger (who has no host) or a peer is gone."""
        counted, name = (self._strangers, address) if host is None else (self._peers, host)
        counted[name] -= 1
        if not counted[name]:
            del counted[name]

    @property
    def peers(self) -> int:
        """How many connections of peers there are."""
        return self._peers.total()
