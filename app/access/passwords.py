"""Passwords: which may be chosen, and argon2id with the parameters of OWASP's cheat sheet. Hashing takes tens of
milliseconds of a core, so it is done in a few threads, and never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from unicodedata import normalize

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from app.core.errors import Flaw, Invalid, Unavailable

T = TypeVar("T")

SHORTEST, LONGEST = 12, 256
THREADS, MOST_WAITING = 2, 64

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# The commonest of twelve characters and more.
_COMMON = frozenset(
    """
    123456789012 1234567890123 12345678901234 1234567890qw 1234567890ab 012345678901 0123456789012 987654321098
    111111111111 000000000000 111111111111 112233445566 123123123123 123412341234 123456123456 aaaaaaaaaaaa
    abcdefghijkl abcdefghijklmnop abcd1234abcd abc123abc123 qwertyuiop12 qwertyuiop123 qwertyuiopas qwertyuiop[]
    qwertyqwerty qwerty123456 qwertz123456 azertyuiop12 azertyuiop123 1q2w3e4r5t6y 1qaz2wsx3edc 1q2w3e4r5t6y7u
    zaq12wsxcde3 password1234 password12345 password123456 password123! passwordpassword passw0rd1234 p@ssw0rd1234
    p@ssword1234 mypassword12 mypassword123 motdepasse12 motdepasse123 motdepasse1234 passwort1234 passwort12345
    administrator administrator1 admin1234567 admin123456789 administrateur letmeinletmein letmein12345 welcome12345
    welcome123456 iloveyou1234 iloveyou12345 iloveyouforever changeme1234 changemechangeme changeit1234 sunshine1234
    princess1234 football1234 baseball1234 superman1234 trustno1trustno1 monkey123456 dragon123456 master123456
    unbelievable thisismypassword correcthorsebatterystaple asdfghjkl123 asdfghjkl;'\\ asdfasdfasdf zxcvbnm12345
    zxcvbnmasdfg summer202020 winter202020 spring202020 summer2024!! winter2024!! summer2025!! winter2025!! motorola1234
    """.split()  # noqa: SIM905
)


def chosen(password: str, *others: str) -> str:
    """The password as it is hashed. Raises Invalid (`password-weak`) for one that is short, common, or one of `others`,
    what everybody knows of the person."""
    password = normalize("NFKC", password)
    folded = password.casefold()
    if not SHORTEST <= len(password) <= LONGEST:
        wrong = f"It would have {SHORTEST} to {LONGEST} characters"
    elif folded in _COMMON or len(set(folded)) < 4:
        wrong = "It is among the first that anybody tries; another one is wanted"
    elif folded in {normalize("NFKC", other).casefold() for other in others}:
        wrong = "It is what everybody knows of you; another one is wanted"
    else:
        return password
    raise Invalid(f"{wrong}.", "password-weak", (Flaw(wrong, "/password", "password-weak"),))


class Hashing:
    """The threads in which a process hashes passwords, and how many may wait for them."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random` gives as many random bytes as it is asked for."""
        self._random = random
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._under_way = 0
        self._nobodys: str | None = None

    async def hashed(self, password: str) -> str:
        """Its argon2id hash. Raises Unavailable where too many wait."""
        return await self._run(self._hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether this is the password of that hash. Where there is no hash it takes as long, and is not."""
        password = normalize("NFKC", password[:LONGEST])
        if self._nobodys is None:
            self._nobodys = await self.hashed("nobody's password")
        found = await self._run(_verified, kept or self._nobodys, password)
        return found and kept is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return _HASHER.hash(password, salt=self._random(16))

    async def _run(self, work: Callable[..., T], *said: str) -> T:
        if self._under_way >= MOST_WAITING:
            raise Unavailable(
                "Too many are signing in at this moment; try again in a moment.", "sign-in-busy"
            )
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *said)
        finally:
            self._under_way -= 1


def _verified(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
