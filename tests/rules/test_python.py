"""Every Python file keeps the rules, and every rule refuses what breaks it."""

from __future__ import annotations

import pytest

from . import python
from .source import module, modules, report

IN_APP = [
    python.holds_no_sql, python.asks_no_clock, python.takes_no_chance, python.opens_no_connection,
    python.is_short, python.has_caption, python.is_well_named,
]  # fmt: skip
IN_TESTS = [python.is_short, python.has_caption]


@pytest.mark.parametrize("rule", IN_APP, ids=lambda rule: rule.__name__)
def test_app_keeps(rule):
    report(fault for module in modules("app") for fault in rule(module))


@pytest.mark.parametrize("rule", IN_TESTS, ids=lambda rule: rule.__name__)
def test_tests_keep(rule):
    report(fault for module in modules("tests") for fault in rule(module))


BROKEN = [
    (python.holds_no_sql, 'await conn.fetchval("SELECT 1")'),
    (python.holds_no_sql, 'x = f"""\n  -- all\n  delete from {table} where id = $1"""'),
    (python.holds_no_sql, 'x = "with gone as (delete from claim)"'),
    (python.holds_no_sql, 'x = "CREATE TEMPORARY TABLE staged (key bigint)"'),
    (python.holds_no_sql, 'x = "NOTIFY work"'),
    (python.asks_no_clock, "at = datetime.now(UTC)"),
    (python.asks_no_clock, "at = datetime.datetime.utcnow()"),
    (python.asks_no_clock, "from app.core import clock\nat = clock.utc_now()"),
    (python.asks_no_clock, "def age(now=time.time): ..."),
    (python.takes_no_chance, "from random import random"),
    (python.takes_no_chance, "def key():\n    import secrets"),
    (python.opens_no_connection, "conn = await asyncpg.connect(dsn)"),
    (python.opens_no_connection, "from asyncpg import create_pool"),
    (python.is_short, "pass\n" * (python.LONGEST_FILE + 1)),
    (python.is_short, "def act():\n" + "    pass\n" * python.LONGEST_FUNCTION),
    (python.has_caption, "x = 1"),
    (python.is_well_named, "class PartnerManager: ..."),
    (python.is_well_named, "class HTTPService: ..."),
    (python.is_well_named, "def imei_utils(): ..."),
]
FINE = [
    (
        python.holds_no_sql,
        '"""Select one; CREATE INDEX is for migrations."""\nx = "Create a key, or lock it."',
    ),
    (python.asks_no_clock, "began = time.monotonic()\nat = row.now"),
    (python.takes_no_chance, "def rest(random): return random()"),
    (python.opens_no_connection, "def _of(row: asyncpg.Record): raise asyncpg.DataError"),
    (python.has_caption, ""),
    (python.is_well_named, "def database(): ..."),
]


@pytest.mark.parametrize(("rule", "sample"), BROKEN)
def test_refused(rule, sample):
    assert list(rule(module("app/devices/sample.py", sample)))


@pytest.mark.parametrize(("rule", "sample"), FINE)
def test_allowed(rule, sample):
    assert not list(rule(module("app/devices/sample.py", sample)))


def test_doors_own_time_and_chance():
    door = module("app/worker.py", "import random\nnow = datetime.now(UTC)")
    assert not [*python.asks_no_clock(door), *python.takes_no_chance(door)]


def test_a_bad_name_of_a_file_is_refused():
    assert list(python.is_well_named(module("app/devices/utils.py", "")))
