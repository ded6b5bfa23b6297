"""Every SQL file keeps the rules, and every rule refuses what breaks it."""

from __future__ import annotations

import pytest

from . import python, sql
from .source import files, module, modules, report, text

MIGRATIONS = [path for path in files() if path.match("sql/migrations/*")]
QUERIES = {path.stem: text(path) for path in files() if path.match("sql/queries/*.sql")}
ENGINE = [
    path
    for path in files()
    if path.match("sql/*/*delivery.sql")
    or path.match("sql/queries/lanes.sql")
    or path.match("sql/queries/items.sql")
]


def test_each_table_has_one_writer():
    created = sql.tables([text(path) for path in MIGRATIONS] + list(QUERIES.values()))
    assert {"device", "delivery", "schema_migration"} <= created
    report(sql.have_one_writer(QUERIES, created, modules("app")))


def test_the_engine_stands_alone():
    assert len(ENGINE) == 4
    report(fault for path in ENGINE for fault in sql.stands_alone(str(path), text(path)))


def test_migrations_are_numbered():
    assert MIGRATIONS
    report(sql.are_numbered([path.name for path in MIGRATIONS]))


def test_files_are_short():
    counted = {path: len(text(path).splitlines()) for path in files() if path.suffix == ".sql"}
    report(f"{path}: {lines} lines" for path, lines in counted.items() if lines > python.LONGEST_FILE)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO claim (key) VALUES ($1)",
        "UPDATE claim SET state = 2",
        "delete from claim\nWHERE key = $1",
    ],
)
def test_a_second_writer_is_refused(statement):
    rooms = {"incidents": "INSERT INTO claim SELECT", "blocklist": statement}
    assert list(sql.have_one_writer(rooms, {"claim"}))


def test_a_second_writer_by_copy_is_refused():
    copying = module("app/blocklist/listing.py", 'conn.copy_records_to_table("claim", records=rows)')
    assert list(sql.have_one_writer({"incidents": "UPDATE claim SET state = 2"}, {"claim"}, [copying]))


def test_reading_and_locking_is_not_writing():
    reading = "SELECT key FROM claim FOR UPDATE OF claim SKIP LOCKED -- UPDATE claim"
    rooms = {
        "incidents": "INSERT INTO claim SELECT 1 ON CONFLICT DO UPDATE SET key = 1",
        "blocklist": reading,
    }
    assert not list(sql.have_one_writer(rooms, {"claim"}))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_notify('work', '')", "LISTEN work", "SELECT pg_try_advisory_xact_lock(1)",
        "CREATE TRIGGER t BEFORE UPDATE ON delivery", "UPDATE delivery SET next_at = now() + random() * $1",
    ],
)  # fmt: skip
def test_leaning_is_refused(statement):
    assert list(sql.stands_alone("sql/queries/delivery.sql", statement))


def test_comments_may_name_it():
    assert not list(sql.stands_alone("sql/queries/delivery.sql", "-- no NOTIFY, no trigger\nSELECT now()"))


@pytest.mark.parametrize(
    "names",
    [["1_access.sql"], ["0001_Access.sql"], ["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"]],
)
def test_bad_numbers_are_refused(names):
    assert list(sql.are_numbered(names))
