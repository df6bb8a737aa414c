"""Help pages: each fits a screen, the usual options first; docs/cli.md says what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vaecodec.cli.exits import MEANINGS
from vaecodec.cli.help import Command, RareOption
from vaecodec.cli.program import cli

COLUMNS, ROWS = 100, 40
DOCS = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
CONTEXT = click.Context(cli)
COMMANDS = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}


def _page(*arguments: str, columns: int = COLUMNS) -> list[str]:
    result = CliRunner().invoke(cli, [*arguments], terminal_width=columns, prog_name="vaecodec")
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_help_page_fits_a_screen(name: str) -> None:
    page = _page(*filter(None, [name]), "--help")
    assert len(page) < ROWS, "the last row is the prompt's"
    assert max(map(len, page)) <= COLUMNS


@pytest.mark.parametrize("name", COMMANDS)
def test_usual_options_come_first_and_all_are_named(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, Command)
    text, everything = "\n".join(_page(name, "--help")), "\n".join(_page(name, "--help-all"))
    usual, _, rare = text.partition("More options, explained by --help-all:")
    for option in (p for p in command.params if isinstance(p, click.Option)):
        longest = max(option.opts, key=len)
        assert longest in text
        assert option.help
        assert option.help.split()[0] in everything
        if isinstance(option, RareOption) and longest not in usual:
            assert longest in rare
    if name in ("compress", "decompress"):
        assert all(option in usual for option in ("--output", "--recursive", "--overwrite", "--resume", "--jobs"))


def test_options_with_a_value_that_may_be_left_out() -> None:
    text = "\n".join(_page("compress", "--help-all"))
    assert "--resume, --skip-existing[=verify]" in text
    assert "--keep-smaller[=copy]" in text


# docs/cli.md


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", DOCS, flags=re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == [(int(c), meaning) for c, meaning in MEANINGS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    section = DOCS.partition(f"\n## vaecodec {name}\n")[2].partition("\n## ")[0]
    assert section, name
    shared = DOCS.partition("\n## Options of several commands\n")[2].partition("\n## ")[0]
    for option in (p for p in COMMANDS[name].params if isinstance(p, click.Option)):
        if "--help-all" not in option.opts:
            assert f"`{max(option.opts, key=len)}" in section + shared, (name, option.opts)


def test_the_commands_without_json_are_those_that_are_named() -> None:
    without = [name for name, c in COMMANDS.items() if not any("--json" in p.opts for p in c.params)]
    *names, last = without
    assert f"with every command but {', '.join(names)} and {last}." in DOCS


def test_no_option_is_documented_that_is_none() -> None:
    known = {
        name
        for command in COMMANDS.values()
        for option in command.params
        for name in [*option.opts, *option.secondary_opts]
    }
    known |= {"--help", "--help-all", "--version"}
    for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", DOCS):
        assert option in known, option
