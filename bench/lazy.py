"""Commands whose modules are imported when they run: a benchmark pays for its own imports only."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from bench.records import DRAFT


def _keep(ctx: click.Context, _: click.Parameter, draft: bool) -> None:
    ctx.meta[DRAFT] = draft


class LazyGroup(click.Group):
    """A group of commands, given as name -> module:function, with the option --draft (`records.save`)."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        text = "Record in bench/results also what code makes that is in no commit."
        self.params.append(click.Option(["--draft"], is_flag=True, expose_value=False, help=text, callback=_keep))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, click.Command):
            return command
        return click.Command(cmd_name, callback=command, help=(command.__doc__ or "").strip())
