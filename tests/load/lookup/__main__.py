"""The look-up against its goals and its floors, in one run.

python -m tests.load.lookup [single bulk flat …] [--repeat 3] [--registered 1000000] [--blocked 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from app.core import log
from app.core.postgres import running

from ..figures import HEAD, Figure, Machine
from . import wrk
from .bulk import bulk
from .declare import declare
from .export import export
from .feed import feed
from .flat import flat
from .ground import PALLET, ROOT, Plan
from .known import known
from .single import single

MEASUREMENTS: dict[str, Callable[[Plan], AsyncIterator[Figure]]] = {
    "single": single,
    "bulk": bulk,
    "flat": flat,
    "declare": declare,
    "feed": feed,
    "export": export,
    "known": known,
}


async def run(names: Sequence[str], given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder / "data") as cluster:
            plan = Plan(cluster, folder, given.repeat, given.seconds, given.registered, given.blocked)
            print(HEAD)
            for chosen in names:
                machine = Machine()
                async for figure in MEASUREMENTS[chosen](plan):
                    print(figure.line(), flush=True)
                print(f"  {machine.line()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.lookup", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MEASUREMENT", help=f"of {', '.join(MEASUREMENTS)}; all")
    parser.add_argument("--repeat", type=int, default=3, help="how often each figure is measured")
    parser.add_argument("--seconds", type=int, default=5, help="for how long wrk asks each time")
    parser.add_argument(
        "--registered", type=int, default=1_000_000, help=f"devices, a multiple of {PALLET:,}"
    )
    parser.add_argument("--blocked", type=int, default=100_000, help="how many of them are blocked")
    given = parser.parse_args()
    if unknown := set(given.names) - MEASUREMENTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    if given.registered % PALLET or given.blocked % PALLET or not 0 < given.blocked <= given.registered:
        parser.error(f"--blocked is at most --registered, and both are multiples of {PALLET:,}")
    wrk.must_be_there()
    log.set_up("critical")
    # What we start is of the same tree as we are, whatever else is installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    asyncio.run(run(given.names or [*MEASUREMENTS], given))


if __name__ == "__main__":
    main()
