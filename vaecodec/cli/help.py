"""Help pages that fit a screen: the usual options in full, the others by name, all of them with --help-all."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import click

WIDTH = 100
"""Columns of a help page, at most."""


class RareOption(click.Option):
    """An option that --help names and --help-all explains."""


class BareOption(RareOption):
    """An option whose value may be left out: ``--resume`` is ``--resume=header``. A value takes the equals sign."""

    def __init__(self, *arguments: Any, bare: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.bare = bare

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option's line on the help page."""
        record = super().get_help_record(ctx)
        return record and (f"{', '.join(self.opts)}{self.metavar or ''}", record[1])


class UsualBareOption(BareOption):
    """A `BareOption` that --help explains."""


class Command(click.Command):
    """A command whose help page shows its rare options by name only, and which has a page with all."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(
            click.Option(
                ["--help-all"], is_flag=True, expose_value=False, is_eager=True, callback=_show_all,
                help="Show all options and exit.",
            )
        )  # fmt: skip

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give options without their optional value the one that this stands for."""
        bare = {name: p.bare for p in self.params if isinstance(p, BareOption) for name in p.opts}
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [f"{a}={bare[a]}" if a in bare else a for a in args[:end]] + args[end:])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        usual: list[tuple[click.Parameter, tuple[str, str]]] = []
        rare: list[tuple[click.Parameter, tuple[str, str]]] = []
        for param in self.get_params(ctx):
            is_rare = isinstance(param, RareOption) and not isinstance(param, UsualBareOption)
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                (rare if is_rare else usual).append((param, record))
        with formatter.section("Options"):
            formatter.write_dl([record for _, record in usual])
        if rare and ctx.meta.get(_SHOWS_ALL):
            with formatter.section("More options"):
                formatter.write_dl([record for _, record in rare])
        elif rare:
            with formatter.section("More options, explained by --help-all"):
                names = " ".join(_longest(param) for param, _ in rare)
                room = formatter.width - formatter.current_indent
                for line in textwrap.wrap(names, room, break_on_hyphens=False):
                    formatter.write(" " * formatter.current_indent + line + "\n")


_SHOWS_ALL = "vaecodec.cli.help.all"


def _show_all(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_SHOWS_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _longest(param: click.Parameter) -> str:
    return max(param.opts, key=len)


def grouped(name: str, make: Callable[..., Any], *decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options that reach the command as one object, ``name``, made by ``make`` out of the parameters it names.

    What ``make`` raises, such as UsageError, is raised before the command runs.
    """
    parameters = list(inspect.signature(make).parameters)

    def decorate(command: Any) -> Any:
        def with_group(**values: Any) -> Any:
            own = {parameter: values.pop(parameter) for parameter in parameters if parameter in values}
            return command(**{name: make(**own)}, **values)

        with_group.__doc__, with_group.__name__ = command.__doc__, command.__name__
        with_group.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for decorator in reversed(decorators):
            with_group = decorator(with_group)
        return with_group

    return decorate
