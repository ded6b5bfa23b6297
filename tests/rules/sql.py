"""Rules about SQL: who writes a table, what the engine must not lean on, how migrations are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from .source import Module

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CREATED = re.compile(r"\bcreate\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?(\w+)", re.IGNORECASE)
_WRITTEN = re.compile(
    r"\b(?:insert\s+into|delete\s+from|merge\s+into|truncate(?:\s+table)?|copy|(?<!for )(?<!do )update)\s+"
    r"(?:only\s+)?(\w+)",
    re.IGNORECASE,
)
# What stops working with a pooler or a second node (they are session state), and chance inside an UPDATE.
_LEANING = re.compile(
    r"\b(?:pg_notify|notify|listen|unlisten|pg_(?:try_)?advisory\w*|trigger|random|gen_random_uuid|set_config)\b",
    re.IGNORECASE,
)
_MIGRATION = re.compile(r"(\d{4})_[a-z][a-z0-9]*(?:_[a-z0-9]+)*\.sql")


def bare(text: str) -> str:
    """SQL without its comments, on the same lines."""
    return _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)


def tables(texts: Sequence[str]) -> set[str]:
    """The tables that last; temporary ones are their maker's own."""
    return {name.lower() for text in texts for name in _CREATED.findall(bare(text))}


def have_one_writer(queries: Mapping[str, str], known: set[str], app: Sequence[Module] = ()) -> Iterator[str]:
    """`queries` is text by room; a COPY that Python starts counts for its room."""
    writers: dict[str, dict[str, str]] = {}
    for room, text in queries.items():
        for place, table in _written(text):
            writers.setdefault(table, {}).setdefault(room, f"sql/queries/{room}.sql:{place}")
    for module in app:
        for place, table in _copied(module):
            writers.setdefault(table, {}).setdefault(module.room, f"{module.path}:{place}")
    for table in sorted(known & writers.keys()):
        if len(writers[table]) > 1:
            places = ", ".join(writers[table].values())
            yield f"table {table} is written in {places}; one room's query file writes a table, others ask it"


def _written(text: str) -> Iterator[tuple[int, str]]:
    text = bare(text)
    for found in _WRITTEN.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[1].lower()


def _copied(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if node.func.attr.startswith("copy_") and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def stands_alone(path: str, text: str) -> Iterator[str]:
    """The engine's correctness rests on rows, leases and the database's clock."""
    text = bare(text)
    for found in _LEANING.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield f"{path}:{line}: {found[0]}; the engine stands on rows, lease tokens and now() alone"


def are_numbered(names: Sequence[str]) -> Iterator[str]:
    """`names` are those of the files in sql/migrations."""
    numbers = []
    for name in names:
        if found := _MIGRATION.fullmatch(name):
            numbers.append(int(found[1]))
        else:
            yield f"sql/migrations/{name}: it would be named like 0012_noun.sql"
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        yield f"sql/migrations is numbered {sorted(numbers)}; it would be 1 to {len(numbers)}, each once"
