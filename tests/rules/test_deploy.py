"""What deploy/ and the README say is true: every setting, every command and option, every figure's name."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import click
import msgspec
import pytest
from packaging.requirements import Requirement

from app.cli import main
from app.core.config import Settings

from .source import files, modules, report, text

_ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]*)`|([^|]*?)) \|", re.MULTILINE)
_VARIABLE = re.compile(r"\bIMEI_GATEWAY_[A-Z_]+[A-Z]\b")
_FIGURE = re.compile(r"\bimei_gateway_[a-z_]+[a-z]\b")
_ENDINGS = re.compile(r"_(?:bucket|count|sum)$")
_COMMAND = re.compile(
    r"^\s*(?:(?:sudo|exec|compose|web|run|--rm|-T)\s+)*imei-gateway (.*?)(?:\s#.*|\s&&.*|\s\|.*|\s[<>&].*)?$"
)
# Between a supervisor and its children only.
_PRIVATE = {"IMEI_GATEWAY_FOLLOW_INPUT"}
PAPERS = [path for path in files() if path.match("deploy/*.md") or str(path) == "README.md"]


def lists_the_settings(page: str) -> Iterator[str]:
    """`page` is SETTINGS.md, whose first table has one row for each field, with its default."""
    table = page.partition("## Other variables")[0]
    told = {name: code or words for name, code, words in _ROW.findall(table)}
    held = {f"IMEI_GATEWAY_{field.name.upper()}": field for field in msgspec.structs.fields(Settings)}
    for name in sorted(told.keys() ^ held.keys()):
        yield f"deploy/SETTINGS.md: {name} is {'no setting' if name in told else 'not listed'}"
    for name in sorted(told.keys() & held.keys()):
        default = "as below" if held[name].required else str(held[name].default) or "empty"
        if told[name] != default:
            yield f"deploy/SETTINGS.md: the default of {name} is {default}, not {told[name]}"


def names_known(path: str, page: str, variables: set[str], figures: set[str]) -> Iterator[str]:
    for name in set(_VARIABLE.findall(page)) - variables:
        yield f"{path}: nothing reads {name}"
    for name in set(_FIGURE.findall(page)):
        if _ENDINGS.sub("", name) not in figures:
            yield f"{path}: there is no figure {name}"


def commands_exist(path: str, page: str) -> Iterator[str]:
    """Looks at the lines of code blocks that begin with our command: its sub-commands and options."""
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if found := _COMMAND.match(line):
                yield from (f"{path}: `{line.strip()}`: {fault}" for fault in _faults(found[1]))


def _faults(line: str) -> Iterator[str]:
    command, words = _command(shlex.split(line))
    if isinstance(command, click.Group) and not any(word.startswith("-") for word in words):
        yield f"{words[:1] or 'nothing'} is no command of {command.name}"
    known = {name for option in command.params for name in option.opts} | {"--help", "-h"}
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in known:
            yield f"{command.name} has no option {word}"


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = main.cli
    while words and isinstance(command, click.Group):
        held = _subcommands(command)
        if words[0] not in held:
            break
        command, words = held[words[0]], words[1:]
    return command, words


def _subcommands(group: click.Group) -> Mapping[str, click.Command]:
    if group is not main.cli:
        return group.commands
    places = {name: place.partition(":") for name, (place, _) in main._COMMANDS.items()}
    return {name: getattr(importlib.import_module(where), it) for name, (where, _, it) in places.items()}


def _variables() -> set[str]:
    return {name for name, *_ in _ROW.findall(text(PurePosixPath("deploy/SETTINGS.md")))}


def _figures() -> set[str]:
    """Names as the source has them; those of partners are put together from a prefix and a key. Roles of the database
    bear such names too."""
    roles = set(re.findall(r"CREATE ROLE (\w+)", text(PurePosixPath("sql/queries/grants.sql"))))
    source = "\n".join(text(module.path) for module in modules("app"))
    parts = set(re.findall(r'^\s+"([a-z_]+)": "', source, re.MULTILINE))
    return (
        set(re.findall(r'"(imei_gateway_[a-z_]+)"', source))
        | {f"imei_gateway_partner_{it}" for it in parts}
        | roles
    )


def test_settings_are_listed():
    report(lists_the_settings(text(PurePosixPath("deploy/SETTINGS.md"))))


def test_the_lock_holds_what_we_ask_for():
    locked = dict(
        re.findall(r"^([\w.-]+)==([\w.+-]+)", text(PurePosixPath("deploy/requirements.lock")), re.MULTILINE)
    )
    asked = map(Requirement, tomllib.loads(text(PurePosixPath("pyproject.toml")))["project"]["dependencies"])
    report(
        f"deploy/requirements.lock: {it} is asked for, not {locked.get(it.name)}; renew it"
        for it in asked
        if it.name not in locked or not it.specifier.contains(locked[it.name])
    )


def test_every_variable_that_is_read_is_told():
    read = {name for module in modules("app") for name in _VARIABLE.findall(text(module.path))}
    assert read - _PRIVATE <= _variables()


@pytest.mark.parametrize("path", [path for path in files() if path.parts[0] == "deploy"], ids=str)
def test_names_are_known(path):
    report(names_known(str(path), text(path), _variables(), _figures()))


@pytest.mark.parametrize("path", PAPERS, ids=str)
def test_commands_exist(path):
    report(commands_exist(str(path), text(path)))


def test_wrong_settings_are_refused():
    page = text(PurePosixPath("deploy/SETTINGS.md"))
    assert not list(lists_the_settings(page))
    assert list(lists_the_settings(page.replace("| `8470` |", "| `80` |")))
    assert list(lists_the_settings(page.replace("`IMEI_GATEWAY_PORT`", "`IMEI_GATEWAY_DOOR`")))


@pytest.mark.parametrize("page", ["IMEI_GATEWAY_DOOR=1", "rate(imei_gateway_partner_joy[5m])"])
def test_unknown_names_are_refused(page):
    assert list(names_known("sample", page, _variables(), _figures()))


@pytest.mark.parametrize(
    "line", ["imei-gateway dance", "imei-gateway partner dance x", "imei-gateway up --fast"]
)
def test_unknown_commands_are_refused(line):
    assert list(commands_exist("sample", f"```sh\n{line}\n```\n"))


@pytest.mark.parametrize(
    "line",
    ["imei-gateway partner list --key K | head", "imei-gateway --version", "imei-gateway up --port 1 &"],
)
def test_known_commands_pass(line):
    assert not list(commands_exist("sample", f"```sh\n{line}\n```\n"))


def test_every_test_that_the_security_page_names_is_there():
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text(PurePosixPath("deploy/SECURITY.md"))))
    assert len(named) > 30
    assert named <= {str(path) for path in files()}
