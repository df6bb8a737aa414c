"""`python -m bench rd`: measure, then tables, plots and the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import metrics as metric_module
from bench.codecs import ANCHOR, DEFAULT_RD, REFINED, Codec
from bench.rd import runs as rd
from bench.rd.plot import plot_rd
from bench.rd.report import bd_lines, has_metric, summarize, trouble_lines
from bench.records import RESULTS, Record, save


def split(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    return [word.strip() for word in (value or "").split(",") if word.strip()]


@click.command("rd")
@click.argument("where", metavar="DIR|kodak")
@click.option(
    "--codecs",
    callback=split,
    help=f"Names, with commas. Of kodak all there are, which takes hours; else {','.join(DEFAULT_RD)}.",
)
@click.option(
    "--metrics", "metric_names", callback=split, help="Names, with commas. Of kodak all there are; else psnr,ms-ssim."
)
@click.option("--out", default=str(RESULTS), show_default="bench/results", type=click.Path(file_okay=False))
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Pictures at the same time.")
@click.option("--anchor", default=ANCHOR, show_default=True, help="The codec that BD-rates are against.")
@click.option("--page-images", default=3, show_default=True, type=click.IntRange(0), help="Pictures on the HTML page.")
@click.option("--page-bpp", default=0.35, show_default=True, help="Their size, in bits per pixel.")
def main(
    where: str,
    codecs: list[str],
    metric_names: list[str],
    out: str,
    jobs: int,
    anchor: str,
    page_images: int,
    page_bpp: float,
) -> None:
    """Rate-distortion of every codec on the pictures of DIR, or on the Kodak images.

    Real files, encoded, decoded and compared. What is measured already is not measured again; --out holds a JSON
    file for each codec, a summary, plots and a page (report.html) to look at the pictures themselves.
    """
    is_kodak = where == "kodak"
    codecs = codecs or [*DEFAULT_RD, *(REFINED if is_kodak else ())]
    metric_names = usable_metrics(metric_names or (list(metric_module.TITLES) if is_kodak else ["psnr", "ms-ssim"]))
    dataset = rd.dataset_of(where)
    try:
        present, missing = rd.absent(codecs)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--codecs") from error
    if not present:
        raise click.ClickException("; ".join(f"{name} is absent ({reason})" for name, reason in missing.items()))
    with ExitStack() as stack:
        for codec in present:
            stack.callback(codec.close)
        try:
            records = measure_all(present, dataset, Path(out), metric_names, jobs)
        except KeyboardInterrupt:
            click.echo(
                f"stopped; what was measured is in {Path(out) / dataset.name}: the same command goes on", err=True
            )
            raise
        if not any(record["images"] for record in records):
            raise click.ClickException("\n".join(unreadable(records)))
        folder = Path(out) / dataset.name
        # Metrics that an earlier run measured for some codecs are shown for those.
        metric_names += [name for record in records for name in rd.metrics_of(record) if name not in metric_names]
        metric_names = list(dict.fromkeys(metric_names))
        summary = summarize(records, anchor, metric_names, missing)
        save(folder / "summary.json", summary)
        click.echo("\n".join(write_tables(summary, records, metric_names, folder)))
        if page_images:
            from bench.rd.page import write_page

            shown = [codec for codec in present if codec.tuned_for is None]  # those of one metric are in its table
            click.echo(f"page: {write_page(folder / 'report.html', dataset, shown, summary, page_images, page_bpp)}")


def unreadable(records: Sequence[Record]) -> list[str]:
    failures = {name: reasons for record in records for name, reasons in record["failures"].items()}
    return [f"{name}: {reason}" for name, reasons in failures.items() for reason in reasons.values()]


def usable_metrics(metric_names: Sequence[str]) -> list[str]:
    unknown = [name for name in metric_names if name not in metric_module.TITLES]
    if unknown:
        message = f"{unknown[0]!r} is not one of {', '.join(metric_module.TITLES)}"
        raise click.BadParameter(message, param_hint="--metrics")
    for name in metric_names:
        if not metric_module.available(name):
            message = f"metric {name} needs `{metric_module.REQUIRES[name]}`"
            raise click.ClickException(message)
    return list(metric_names)


def measure_all(
    codecs: Sequence[Codec], dataset: rd.Dataset, out: Path, metric_names: Sequence[str], jobs: int
) -> list[Record]:
    """Measure codec after codec, with a bar on a terminal and nothing in a pipe.

    A codec that is tuned for one metric is measured by it: its figures by another would say little.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    records = []
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for codec in codecs:
            bar = progress.add_task(codec.title, total=len(dataset.paths))
            metrics = [metric for metric in metric_names if codec.tuned_for in (None, metric)]
            records.append(
                rd.measure_codec(codec, dataset, out, metrics, jobs, advance=lambda _, bar=bar: progress.advance(bar))  # type: ignore[misc]
            )
    return records


def write_tables(summary: Record, records: Sequence[Record], metric_names: Sequence[str], folder: Path) -> list[str]:
    """Write summary.md and the plots; return the lines of summary.md."""
    titles = {record["codec"]: record["title"] for record in records}
    lines: list[str] = []
    for metric in metric_names:
        if summary["bd_rate"].get(metric):
            lines += [*bd_lines(summary, metric), ""]
        if any(has_metric(record, metric) for record in records):
            plot_rd(summary, titles, metric, folder / f"rd-{metric}")
    lines += trouble_lines(summary)
    (folder / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines
