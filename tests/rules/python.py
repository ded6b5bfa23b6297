"""Rules about Python files. Each gives one line per fault: where, what is wrong, what would be right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .source import Module

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
# Handed out by itself, to be read by who does not trust us: it cannot be taken apart.
_ALONE = {"app/evidence/verify.py": 450}
# Their own processes, which take time and chance from the machine and hand them down.
DOORS = {"cli", "demo", "s13", "sandbox", "server", "worker"}
# A face may make up a request's number, and times what it answers.
CHANCY = DOORS | {"api"}

_FORBIDDEN = {"base", "common", "helper", "helpers", "manager", "managers", "service", "util", "utils"}
# Web and worker as the operating system sees them are a service.
_ALLOWED = {("app/cli/service.py", "Service"), ("app/cli/service.py", "service")}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_NOUN = r"(?:table|index|view|type|role|schema|sequence|function|trigger|database|extension|policy)"
_SQL = re.compile(
    rf"""^\s*(?:--[^\n]*\n\s*)*(?:
        select\s+(?:[\d*$'(]|\w+\s*(?:,|\(|from\b)|distinct\b)
        | insert\s+into\s | update\s+\w+\s+(?:as\s+\w+\s+)?set\s | delete\s+from\s | merge\s+into\s
        | with\s+(?:recursive\s+)?\w+\s+as\s*\( | copy\s+\w+\s*(?:\([^)]*\)\s*)?(?:from|to)\s
        | create\s+(?:or\s+replace\s+|unique\s+|temp(?:orary)?\s+|unlogged\s+|materialized\s+)*{_NOUN}\s
        | alter\s+{_NOUN}\s | drop\s+{_NOUN}\s | truncate\s+(?:table\s+)?\w+\s*(?:;|,|cascade|$)
        | grant\s+\w+[\w\s,]*\s+(?:on|to)\s | revoke\s+\w+[\w\s,]*\s+(?:on|from)\s
        | (?:listen|notify|unlisten)\s+\w+\s*(?:;|,|$) | lock\s+table\s | set\s+(?:local|session)\s
        | (?:begin|commit|rollback|vacuum|analyze)\s*(?:;|$) | explain\s+\(
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_CLOCK = re.compile(
    r"(?:^|\.)utc_?now$|\b(?:datetime|date)\.(?:now|today)$|^time\.(?:time|localtime|gmtime)(?:_ns)?$"
)


def holds_no_sql(module: Module) -> Iterator[str]:
    docstrings = {id(text) for text in _docstrings(module.tree)}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if _SQL.match(node.value):
            said = " ".join(node.value.split())[:40]
            yield f"{module.path}:{node.lineno}: '{said}…' is SQL; it belongs in sql/queries/<room>.sql"


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                match node.body:
                    case [ast.Expr(ast.Constant() as text), *_]:
                        yield text


def asks_no_clock(module: Module) -> Iterator[str]:
    """Monotonic time is free to all: it measures deadlines and decides nothing."""
    if module.room in DOORS or str(module.path) == "app/core/clock.py":
        return
    for node in ast.walk(module.tree):
        name = _dotted(node)
        if _CLOCK.search(name):
            yield f"{module.path}:{node.lineno}: {name} asks the clock; take `now` as a parameter"


def _dotted(node: ast.AST) -> str:
    """`a.b.c` for an attribute or a name, and else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def takes_no_chance(module: Module) -> Iterator[str]:
    if module.room in CHANCY:
        return
    for node, name in _imported(module.tree):
        if name.split(".")[0] in ("random", "secrets", "uuid") or name == "os.urandom":
            yield f"{module.path}:{node.lineno}: {name} is chance; take it as a parameter from the door"


def _imported(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def opens_no_connection(module: Module) -> Iterator[str]:
    """Other rooms name asyncpg's types and errors; what opens a connection with its time-outs is core's."""
    if module.room == "core":
        return
    used = [(node, _dotted(node)) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    for node, name in [*used, *_imported(module.tree)]:
        first, _, rest = name.partition(".")
        known = rest in ("", "Connection", "Pool", "Record") or rest.endswith("Error")
        if first == "asyncpg" and not known:
            yield f"{module.path}:{node.lineno}: {name}; connections are opened by app.core.db alone"


def is_short(module: Module) -> Iterator[str]:
    if module.lines > (most := _ALONE.get(str(module.path), LONGEST_FILE)):
        yield f"{module.path}: {module.lines} lines; {most} at most: it holds more than one thing"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines, not {LONGEST_FUNCTION}"


def has_caption(module: Module) -> Iterator[str]:
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.path}:1: no caption; say in 1 to 5 lines what it owns and what it never does"


def is_well_named(module: Module) -> Iterator[str]:
    """Names that fit everything say nothing: of files, folders, classes and functions."""
    parts = [part.removesuffix(".py") for part in module.path.parts]
    for line, name in [*((1, part) for part in parts), *_defined(module.tree)]:
        words = {word.lower() for word in _WORD.findall(name)}
        if words & _FORBIDDEN and (str(module.path), name) not in _ALLOWED:
            yield f"{module.path}:{line}: the name '{name}' fits everything; say what it is or does"


def _defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
