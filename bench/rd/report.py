"""Tables of a rate-distortion run: mean curves, BD-rates, absent codecs and failed pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from bench.rd.bdrate import INTERVALS, SMALL_OVERLAP, bd_rate_within, image_points, interval_text, mean_curve
from bench.rd.published import curves, named, published_jpeg
from bench.records import FORMAT, Record
from vaecodec.metrics import BdRate, Point, bd_rate

Interval = tuple[float, float]
UNDEFINED = BdRate(math.nan, math.nan, math.nan, 0.0)


def common_images(records: Sequence[Record]) -> list[str]:
    """Pictures that no codec failed on: means over other sets of pictures could not be compared."""
    names = set.intersection(*({name for name, columns in r["rows"].items() if columns} for r in records))
    return sorted(names - {name for record in records for name in record["failures"]})


def pixels_of(record: Record) -> dict[str, int]:
    return {name: image["width"] * image["height"] for name, image in record["images"].items()}


def curve(record: Record, metric: str, names: Sequence[str]) -> list[Point]:
    """Mean (bpp, metric) over the named pictures, by quality."""
    return mean_curve(record["rows"], pixels_of(record), metric, names)


def bd_of(anchor: Sequence[Point], test: Sequence[Point], interval: Interval | None) -> BdRate:
    """Over an interval, or over all that both curves cover."""
    try:
        return bd_rate(anchor, test) if interval is None else bd_rate_within(anchor, test, interval)
    except ValueError:  # too few points: no number rather than no table
        return UNDEFINED


def bd_per_image(anchor: Record, test: Record, metric: str, names: Sequence[str]) -> list[float]:
    """The BD-rate of every picture by itself, in percent; pictures without a number are left out."""
    rates = []
    pixels = pixels_of(anchor)
    for name in names:
        pair = [list(image_points(r["rows"][name], pixels[name], metric).values()) for r in (anchor, test)]
        rates.append(bd_of(*pair, INTERVALS.get(metric)).percent)
    return [value for value in rates if not math.isnan(value)]


def has_metric(record: Record, metric: str) -> bool:
    """Whether a record belongs into the table of a metric: measured, and not tuned for another one."""
    tuned_for = record.get("tuned_for")
    return tuned_for in (None, metric) and all(metric in columns for columns in record["rows"].values())


def summarize(records: Sequence[Record], anchor: str, metrics: Sequence[str], absent: Mapping[str, str]) -> Record:
    """Everything that a reader of a run wants first; the values behind it are in the codecs' files."""
    names = common_images(records)
    summary: Record = {
        "format": FORMAT,
        "dataset": records[0]["dataset"],
        "images": len(names),
        "anchor": anchor,
        "convention": "mean curves: per quality setting, mean of bpp and mean of the metric over the images",
        "intervals": {metric: INTERVALS.get(metric) for metric in metrics},
        "made": {record["codec"]: record["made"] for record in records},
        "absent": dict(absent),
        "failures": {record["codec"]: record["failures"] for record in records if record["failures"]},
        "bd_rate": {},
        "curves": {},
    }
    by_name = {record["codec"]: record for record in records}
    for metric in metrics:
        usable = [record for record in records if has_metric(record, metric)]
        summary["curves"][metric] = {record["codec"]: curve(record, metric, names) for record in usable}
        if anchor in by_name and by_name[anchor] in usable:
            summary["bd_rate"][metric] = bd_table(usable, by_name[anchor], metric, names)
    return summary


def bd_table(records: Sequence[Record], anchor: Record, metric: str, names: Sequence[str]) -> Record:
    """BD-rate of every codec, and of the published Kodak curves, against the anchor measured here."""
    base = curve(anchor, metric, names)
    # Kodak results in papers are against the published JPEG curve; a reader needs both to compare.
    papers = published_jpeg(metric) if anchor["dataset"] == "kodak" else ()
    table: Record = {}
    for record in records:
        if record is anchor:
            continue
        each = bd_per_image(anchor, record, metric, names)
        table[record["codec"]] = {
            "title": record["title"],
            **bd_fields(base, curve(record, metric, names), papers, metric),
            "mean_of_images": round(fmean(each), 2) if each else None,
            "best_image": round(min(each), 2) if each else None,
            "worst_image": round(max(each), 2) if each else None,
        }
    if anchor["dataset"] == "kodak":
        for published in curves(metric, shown=None):
            table[named(published)] = {"title": published.title, **bd_fields(base, published.points, papers, metric)}
    return table


def bd_fields(anchor: Sequence[Point], test: Sequence[Point], papers: Sequence[Point], metric: str) -> Record:
    result = bd_of(anchor, test, INTERVALS.get(metric))
    if math.isnan(result.percent):
        return {"bd_rate": None, "overlap": 0.0, "range": None}
    return {
        "bd_rate": round(result.percent, 2),
        "overlap": round(result.overlap, 3),
        "range": [round(result.low, 2), round(result.high, 2)],
        "method": result.method,
        "against_published_jpeg": round(bd_of(papers, test, None).percent, 2) if papers else None,
    }


def bd_lines(summary: Record, metric: str) -> list[str]:
    """The BD-rate table as Markdown, best first."""
    table = summary["bd_rate"].get(metric, {})
    rows = sorted(table.values(), key=lambda row: math.inf if row["bd_rate"] is None else row["bd_rate"])
    over = f", {interval_text(metric, INTERVALS[metric])}" if metric in INTERVALS else ""
    lines = [
        f"BD-rate ({metric}{over}) against {summary['anchor']} on {summary['dataset']}, {summary['images']} images",
        "",
        "| codec | BD-rate | mean of images (best .. worst) | range | share | all, against the JPEG of papers |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [bd_line(row) for row in rows]


def bd_line(row: Record) -> str:
    if row["bd_rate"] is None:
        return f"| {row['title']} | none: the curves do not overlap or have too few points | | | | |"
    each = ""
    if row.get("mean_of_images") is not None:
        each = f"{row['mean_of_images']:+.1f} % ({row['best_image']:+.1f} .. {row['worst_image']:+.1f})"
    low, high = row["range"]
    small = " **small**" if row["overlap"] < SMALL_OVERLAP else ""
    rate = f"{row['bd_rate']:+.1f} %"
    papers = row["against_published_jpeg"]
    columns = [row["title"], rate, each, f"{low:.1f} .. {high:.1f}", f"{row['overlap']:.0%}{small}"]
    return f"| {' | '.join(columns)} | {'' if papers is None else f'{papers:+.1f} %'} |"


def trouble_lines(summary: Record) -> list[str]:
    """What is missing from the tables and why."""
    lines = [f"absent: {name} ({reason})" for name, reason in summary["absent"].items()]
    for codec, images in summary["failures"].items():
        for image, reasons in images.items():
            detail = "; ".join(f"{'' if q == 'all' else f'quality {q}: '}{reason}" for q, reason in reasons.items())
            lines.append(f"failed: {codec} on {image}: {detail} (the picture is left out of every mean)")
    return lines
