"""The delivery engine against its goals and its floors, in one run.

python -m tests.load.delivery [enqueue million drain …] [--repeat 3] [--devices 50000] [--workers 2]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from app.core import log
from app.core.postgres import running

from ..figures import HEAD, Figure, Machine
from . import ground
from .drain import drain
from .enqueue import enqueue, million
from .fair import fair
from .fan_out import fan_out
from .ground import Plan
from .lag import lag
from .night import night
from .sick import sick
from .takeover import takeover

MEASUREMENTS: dict[str, Callable[[Plan], AsyncIterator[Figure]]] = {
    "enqueue": enqueue,
    "million": million,
    "drain": drain,
    "fan-out": fan_out,
    "sick": sick,
    "fair": fair,
    "takeover": takeover,
    "night": night,
    "lag": lag,
}


async def run(names: Sequence[str], given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ground.register_null(folder)
        async with running(folder / "data") as cluster:
            plan = Plan(cluster, folder, given.repeat, given.devices, given.workers, given.profile)
            print(HEAD)
            for chosen in names:
                machine = Machine()
                async for figure in MEASUREMENTS[chosen](plan):
                    print(figure.line(), flush=True)
                print(f"  {machine.line()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.delivery", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MEASUREMENT", help=f"of {', '.join(MEASUREMENTS)}; all")
    parser.add_argument("--repeat", type=int, default=3, help="how often each figure is measured")
    parser.add_argument("--devices", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile", type=Path, help="a folder for a cProfile of every worker")
    given = parser.parse_args()
    if unknown := set(given.names) - MEASUREMENTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    # A database that is restarted under way is no news here.
    log.set_up("critical")
    asyncio.run(run(given.names or [*MEASUREMENTS], given))


if __name__ == "__main__":
    main()
