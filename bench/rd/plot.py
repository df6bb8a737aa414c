"""Rate-distortion and rate-distortion-time plots as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.metrics import TITLES
from bench.rd.published import curves
from bench.records import Record
from vaecodec.metrics import Point
from vaecodec.refine import DEFAULT_EFFORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours: told apart by colour-blind readers too; this project's codec gets the strong ones.
OWN = ("#d55e00", "#b3004b", "#e69f00")
OTHERS = ("#0072b2", "#009e73", "#56b4e9", "#cc79a7", "#8a8a00", "#6a51a3", "#4d4d4d", "#8c6d31", "#17becf")
PUBLISHED = "#8a8f98"
WIDEST_BPP = 2.5
DASHES: tuple[tuple[int, tuple[int, ...]], ...] = tuple(
    (0, dashes) for dashes in ((5, 2), (2, 2), (7, 2, 1, 2), (1, 1), (9, 3), (4, 1, 1, 1, 1, 1), (3, 5))
)


def plot_rd(summary: Record, titles: Mapping[str, str], metric: str, stem: Path) -> list[Path]:
    """Draw the mean curves (solid) and, on Kodak, published ones (dashed) into STEM.png and STEM.svg."""
    with figure(stem) as (axes, written):
        shown = summary["curves"][metric]
        for name, style in styles(shown).items():
            width = 2.4 if is_own(name) else 1.4
            draw(axes, shown[name], label=titles[name], linewidth=width, marker="o", **style)
        if summary["dataset"] == "kodak":
            for published, dashes in zip(curves(metric), DASHES, strict=False):
                draw(axes, published.points, label=published.title, color=PUBLISHED, linewidth=1.1, linestyle=dashes)
        axes.set_xlim(0, WIDEST_BPP)
        axes.set_xlabel("bits per pixel (whole file)")
        axes.set_ylabel(TITLES[metric])
        axes.set_title(f"{summary['dataset']}, mean of {summary['images']} images")
    return written


def draw(axes: Axes, points: Sequence[Point], **style: object) -> None:
    inside = [point for point in sorted(points) if point[0] <= WIDEST_BPP]
    if inside:
        axes.plot(*zip(*inside, strict=True), markersize=3, **style)  # type: ignore[arg-type]


def is_own(name: str) -> bool:
    return name.startswith("vaecodec")


Style = dict[str, object]


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Colour and dashes of each codec: the efforts of a model have one colour. No two of three models are alike."""
    names = list(names)
    models = {own: list(dict.fromkeys(_model(name) for name in names if is_own(name) is own)) for own in (True, False)}
    result = {}
    for name in names:
        own, colours = is_own(name), OWN if is_own(name) else OTHERS
        cycle, place = divmod(models[own].index(_model(name)), len(colours))
        effort = name.partition("@")[2]
        dashes = cycle + (int(effort) - DEFAULT_EFFORT if effort else 0)
        result[name] = {"color": colours[place], "linestyle": DASHES[dashes - 1] if dashes else "-"}
    return result


def _model(name: str) -> str:
    return name.partition("@")[0]


def plot_time(bd_rates: Mapping[str, float], seconds: Mapping[str, Mapping[str, float]], stem: Path) -> list[Path]:
    """BD-rate over time per megapixel, log scale: an open mark for encoding, a full one for decoding.

    `seconds`: codec -> {"encode": s/MP, "decode": s/MP}; codecs without a BD-rate or a time are not drawn.
    """
    with figure(stem) as (axes, written):
        for name, style in styles(name for name in bd_rates if name in seconds).items():
            colour = style["color"]
            encode, decode = seconds[name]["encode"], seconds[name]["decode"]
            height = bd_rates[name]
            axes.plot([encode, decode], [height, height], color=colour, linewidth=1, alpha=0.5)
            axes.plot([encode], [height], "o", markerfacecolor="none", color=colour)
            axes.plot([decode], [height], "o", color=colour, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("seconds per megapixel (open mark: encode, full mark: decode)")
        axes.set_ylabel("BD-rate against JPEG in % (down is better)")
    return written


@contextmanager
def figure(stem: Path) -> Iterator[tuple[Axes, list[Path]]]:
    """A figure that is saved as PNG and SVG when the block ends; the list then holds both paths."""
    import matplotlib as mpl

    mpl.use("Agg")  # files only, also where there is a display
    from matplotlib import pyplot as plt

    written: list[Path] = []
    # Without a fixed salt and date every run would change the SVG.
    with mpl.rc_context({"svg.hashsalt": "vaecodec", "font.size": 9, "svg.fonttype": "none"}):
        drawing, axes = plt.subplots(figsize=(10.4, 5.4), layout="constrained")
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, written
        axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))  # beside: curves are many
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            path = stem.with_suffix(suffix)
            drawing.savefig(path, dpi=150, metadata=metadata)
            written.append(path)
        plt.close(drawing)
