"""`python -m bench figures`: the figures of README.md, SECURITY.md and docs/ written from the records in bench/results.

A block between `<!-- figures: NAME -->` and `<!-- end of figures -->` is made by the function of that name below, so no
figure is typed. tests/test_figures.py fails where page and records differ. A record that is not there, since it went
with the weights it was made with, leaves a line that says which command measures it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from bench import install as installation
from bench.rd.bdrate import interval_text
from bench.records import RESULTS, ROOT, Record, load
from bench.speed import instructions as older
from bench.speed import practical_page
from bench.speed import startup as starting
from bench.speed.practical_page import table
from bench.speed.scale_out import LARGE_MEGAPIXELS, ratio
from vaecodec.weights.manifest import DEFAULT_MODEL, manifest
from vaecodec.weights.store import read_model

PAGES = (
    "README.md",
    "SECURITY.md",
    "docs/model-card.md",
    "docs/performance.md",
    "docs/browser.md",
    "docs/latents.md",
    "docs/scale.md",
)
BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
METRICS = {"psnr": "PSNR", "ms-ssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA2", "butteraugli": "Butteraugli"}
KODAK_PIXELS = 768 * 512
METHODS_OF_SEARCH = {"vaecodec": "vaecodec", "phash": "pHash (imagehash)", "pdq": "PDQ (pdqhash)"}
METHODS_OF_ANOMALIES = {
    "combined": "**combined** (the default): distance less what the bits let expect",
    "distance": "distance: Mahalanobis, of `y_hat`",
    "bits": "bits less those of a code that knows no image",
    "error": "error of the reconstruction",
    "statistics": "baseline: Mahalanobis, of means, deviations and gradients of pixels",
    "autoencoder": "baseline: a small autoencoder trained on the normal images",
}
FIGURES_OF_ANOMALIES = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO at 0.30"}
HEADLINE = {
    f"vaecodec:{DEFAULT_MODEL}": f"**vaecodec** (`{DEFAULT_MODEL}`, the default)",
    "vaecodec:base": "**vaecodec `--tune psnr`** (`base`)",
    "vaecodec:fast-perceptual": "vaecodec `--model fast-perceptual`",
    f"vaecodec:{DEFAULT_MODEL}@6": "vaecodec `--effort 6`",
    f"vaecodec:{DEFAULT_MODEL}@9": "vaecodec `--effort 9`",
    "vaecodec:base@6": "vaecodec `--tune psnr --effort 6`",
    "vaecodec:base@9": "vaecodec `--tune psnr --effort 9`",
    "avif-slow": "AVIF (Pillow, speed 2, 4:4:4, tune=iq)",
    "avif": "AVIF (Pillow, speed 6, 4:2:0, tune=iq)",
    "avif-slow-psnr": "AVIF (speed 2, 4:4:4, tune=psnr)",
    "avif-psnr": "AVIF (speed 6, 4:2:0, tune=psnr)",
    "avif-slow-ssimulacra2": "AVIF (speed 2, 4:4:4, tune=ssimulacra2)",
    "avif-ssimulacra2": "AVIF (speed 6, 4:2:0, tune=ssimulacra2)",
    "webp": "WebP (method 6)",
    "jxl": "JPEG XL (effort 7)",
    "jxl-slow": "JPEG XL (effort 9)",
}
"""What people choose between. Those that have not been measured are left out."""
LESSER = ("avif", "avif-psnr", "avif-ssimulacra2", "jxl")
"""The same codecs with less effort: docs/performance.md has them, too, README.md the best setting of each."""


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def _summary() -> Record:
    return load(RESULTS / "kodak" / "summary.json")


WHOLE = 0.95
"""The share of the interval from which a BD-rate is said without its end."""


def _bd_rate(codec: str, metric: str) -> str:
    """In percent; with the end of its range where the codec does not reach that of the others."""
    row = _summary()["bd_rate"].get(metric, {}).get(codec)
    if row is None or row["bd_rate"] is None:
        return ""
    return percent(row["bd_rate"]) + ("" if row["overlap"] >= WHOLE else f" (to {abs(row['range'][1]):.1f})")


def kodak() -> str:
    """BD-rates of the codecs that people choose between, each at its best effort."""
    return _kodak([codec for codec in HEADLINE if codec not in LESSER])


def kodak_efforts() -> str:
    """BD-rates of the same codecs at all efforts."""
    return _kodak(list(HEADLINE))


def _kodak(codecs: Sequence[str]) -> str:
    """A codec tuned for one metric stands with that one only."""
    shown = {codec: HEADLINE[codec] for codec in codecs}
    cells = {title: [_bd_rate(codec, metric) for metric in METRICS] for codec, title in shown.items()}
    rows = [(title, *row) for title, row in cells.items() if any(row)]
    intervals = _summary()["intervals"]
    heads = [f"{title}, {interval_text(metric, intervals[metric])}" for metric, title in METRICS.items()]
    return table(["Kodak, 24 images, BD-rate against Pillow JPEG (4:2:0, optimize)", *heads], rows)


def models() -> str:
    """The shipped models: what they were trained for, held out and on Kodak."""
    cards = {entry.name: read_model(entry.path).card for entry in manifest()}
    names = sorted(cards, key=lambda name: name != DEFAULT_MODEL)
    rows: list[Sequence[object]] = [("model id", *(cards[name]["model_id"] for name in names))]
    rows.append(("tuned for", *(_tune(cards[name]) for name in names)))
    rows.append(("held-out BD-rate, PSNR, real files", *(percent(cards[n]["heldout"]["bd_rate"]) for n in names)))
    for metric, title in METRICS.items():
        rows.append((f"Kodak, {title}", *(_bd_rate(f"vaecodec:{name}", metric) for name in names)))
    rows.append(("range on Kodak", *(_range(name) for name in names)))
    return table(["", *(f"`{name}`" for name in names)], rows)


def _tune(card: Record) -> str:
    perceptual = card["settings"].get("tune", "psnr") == "perceptual"
    return "squared error and structure" if perceptual else "squared error"


def _range(name: str) -> str:
    points = _summary()["curves"]["psnr"].get(f"vaecodec:{name}")
    if not points:
        return ""
    (low_bpp, low_db), (high_bpp, high_db) = min(points), max(points)
    return f"{low_bpp:.3f} bpp, {low_db:.1f} dB to {high_bpp:.2f} bpp, {high_db:.1f} dB"


def _missing(command: str) -> str:
    return f"Not measured yet with the shipped weights: `{command}`."


def speed() -> str:
    """Seconds a megapixel of every codec."""
    parts = []
    for path in (RESULTS / "one-megapixel" / "speed.json", RESULTS / "speed.json"):
        record = load(path)
        if not record:
            continue
        rows = [
            (row["title"], *(f"{row[f'{kind}_s_per_mp']['median']:.3f}" for kind in ("encode", "decode")))
            for row in record["codecs"].values()
        ]
        parts.append(
            f"{record['picture']['megapixels']:.2f} megapixels, {record['threads']} thread(s), {_where(record)}:"
        )
        parts.append(table(["codec", "encode, s/MP", "decode, s/MP"], rows))
    return "\n\n".join(parts) or _missing("python -m bench speed")


def practical() -> str:
    """Start-up, targets, batches, crops, previews, threads."""
    record = load(RESULTS / "practical.json")
    return practical_page.sections(record) if record else _missing("python -m bench practical")


def scale() -> str:
    """Time and memory from 1 to 100 megapixels."""
    record = load(RESULTS / "scale.json")
    if not record:
        return _missing("python -m bench scale")
    rows = [
        (
            f"{row['megapixels']:.0f}",
            *(f"{row[kind]['wall_s'] / row['megapixels']:.3f}" for kind in ("encode", "decode")),
            *(f"{row[kind]['peak_bytes'] / 2**30:.2f}" for kind in ("encode", "decode")),
        )
        for row in record["rows"]
    ]
    head = ["megapixels", "encode, s/MP", "decode, s/MP", "encode, GiB at the peak", "decode, GiB at the peak"]
    return (
        f"Model {record['options']['model']}, {record['threads']} thread(s), {_where(record)}:\n\n{table(head, rows)}"
    )


def startup() -> str:
    """Whole commands, each in a fresh process."""
    record = load(RESULTS / "startup.json")
    if not record:
        return _missing("python -m bench startup")
    return f"{record['threads']} thread(s), medians of {record['rounds']}, {_where(record)}:\n\n{starting.page(record)}"


def install() -> str:
    """The packages of an installation."""
    record = load(RESULTS / "install.json")
    if not record:
        return _missing("python -m bench install")
    where = f"{record['made']['machine']['system']}, Python {record['made']['versions']['python']}"
    return f"`pip install .` into an empty environment, {where}:\n\n{installation.page(record)}"


def instructions() -> str:
    """Speed with the instructions of older processors."""
    record = load(RESULTS / "instructions.json")
    if not record:
        return _missing("python -m bench instructions")
    return f"Model {record['model']}, one thread, seconds of the processor, {_where(record)}:\n\n{older.page(record)}"


def scale_out() -> str:
    """A folder on a cluster, and what a million photographs take by these figures."""
    record = load(RESULTS / "scale-out.json")
    if not record:
        return _missing("python -m bench scale-out PHOTOS")
    options, one, two, failure, large = (record[name] for name in ("options", "one", "two", "failure", "large"))
    rows = [
        ("images a second, one worker (one core)", f"{one['images_per_s']:.1f}"),
        ("images a second, two workers", f"{two['images_per_s']:.1f}, {ratio(record):.2f} times (in pixels)"),
        ("processor seconds a second, one worker and two", f"{one['cores']:.2f} and {two['cores']:.2f}"),
        ("processor seconds an image", f"{one['cpu_s_per_image']:.3f}"),
        ("peak memory of an actor", f"{max(one['peak_bytes'], two['peak_bytes']) / 2**20:.0f} MiB"),
        ("a photograph of 12 megapixels", f"{large['cpu_s_per_image']:.2f} processor seconds, JPEG to .vaec"),
        ("peak memory of an actor with these", f"{large['peak_bytes'] / 2**20:.0f} MiB"),
        ("bytes of such a photograph", f"{large['source_bytes']:,} as JPEG, {large['bytes']:,} as .vaec"),
    ]
    problems = "; ".join(failure["problems"]) or "every file there once, with the bytes of the one-machine command"
    hours = large["cpu_s_per_image"] * 1e6 / 3600
    rate = large["source_bytes"] * 64 / hours / 3600
    return (
        f"{options['images']} images of {options['megapixels']:.0f} megapixels together, model {options['model']}, "
        f"{_where(record)}:\n\n{table(['', ''], rows)}\n\n"
        f"{failure['killed']} worker killed and {failure['nodes_added']} node added in the middle of a run: {problems}."
        f" The run repeated: {record['again']['skipped']} skipped, {record['again']['made']} made.\n\n"
        f"So a million photographs of {LARGE_MEGAPIXELS} megapixels take {hours:,.0f} core hours, on 64 cores "
        f"{hours / 64:.0f} hours ({large['images']} were measured). {large['source_bytes'] / 1e6:.2f} TB are read, "
        f"{large['bytes'] / 1e6:.2f} TB written: {rate:.0f} MB/s in all on 64 cores."
    )


def folders() -> str:
    """A folder run that is killed and resumed."""
    record = load(RESULTS / "folders.json")
    if not record:
        return _missing("python -m checks folders")
    verdict = "; ".join(record["problems"]) or "all there, all whole, none made twice"
    return f"{record['options']['photos']} photographs, the run killed {record['kills']} times and resumed: {verdict}."


def attacks() -> str:
    """What fuzzing and damaged files found last."""
    rows = []
    fuzzed = load(RESULTS / "fuzz.json")
    for run in fuzzed.get("targets", []):
        runs = f"{run['executions']:,} in {run['seconds']:.0f} s, {run['peak_mb']} MiB at most"
        rows.append((f"fuzzing, {run['target']}", runs, "; ".join(run["findings"]) or "nothing", _when(fuzzed)))
    for path in sorted(RESULTS.glob("damage-*.json")):
        record = load(path)
        name = path.stem.removeprefix("damage-")
        rows.append(
            (
                f"damaged files, model {name}",
                f"{record['count']:,}",
                "nothing" if record["passed"] else "faults",
                _when(record),
            )
        )
    return table(["", "runs", "found", "when"], rows)


def _when(record: Record) -> str:
    """The day and the commit of a record."""
    return f"{record['made']['date'][:10]}, {record['made']['commit'][:10]}"


def _where(record: Record) -> str:
    header = record["made"]
    return f"{header['machine']['cpu']}, commit {header['commit'][:10]}"


def browser() -> str:
    """What the browser codec weighs, how long it takes, in how much memory."""
    record = load(RESULTS / "browser.json")
    if not record:
        return _missing("python -m bench browser")
    sizes = [(d["file"], f"{d['bytes'] / 1000:,.0f}", f"{d['gzip'] / 1000:,.0f}") for d in record["downloads"]]
    large = f"{record['options']['large']:g}"
    rows = [
        (
            row["model"],
            f"{row['first']['whole_s']:.2f} ({row['first']['cpu_s']:.2f})",
            f"{row['one']['whole_s']:.2f} ({row['one']['cpu_s']:.2f})",
            f"{row['large']['whole_s']:.1f} ({row['large']['cpu_s']:.1f})",
            f"{row['large']['peak_bytes'] / 1e6:.0f}",
            f"{row['encode']['whole_s']:.2f} ({row['encode']['cpu_s']:.2f})",
        )
        for row in record["rows"]
    ]
    head = [
        "model",
        "first image, s",
        "1 MP, s",
        f"{large} MP, s",
        f"{large} MP, MB of the page at the peak",
        "1 MP encoded, s",
    ]
    return (
        f"{table(['download', 'kB', 'kB with gzip'], sizes)}\n\nChromium, one thread, {_where(record)}. "
        "In brackets processor time, all processes of the browser together. First image: 0.4 MP from an empty cache "
        "over loopback, the start of the page included.\n\n"
        f"{table(head, rows)}"
    )


def latents_search() -> str:
    """Edited copies found again: recall at 1 and micro-AP beside pHash and PDQ."""
    record = load(RESULTS / "latents" / "search.json")
    if not record:
        return _missing("python -m bench latents search OTHERS PHOTOS")
    cells = [
        (row["edits"], *(f"{row[name]['recall_at_1']:.3f} / {row[name]['micro_ap']:.3f}" for name in METHODS_OF_SEARCH))
        for row in record["rows"]
    ]
    options = record["options"]
    return (
        f"{options['photos']} photographs among {options['others']} others, {options['side']} pixels a side, "
        f"{_where(record)}; recall at 1 / micro-AP:\n\n{table(['edited copies', *METHODS_OF_SEARCH.values()], cells)}"
    )


def latents_index() -> str:
    """Files a second of `vaecodec index`."""
    record = load(RESULTS / "latents" / "index.json")
    if not record:
        return _missing("python -m bench latents index PHOTOS")
    cells = [(f"{row['count']} {row['files']}", f"{row['files_per_s']:.0f}") for row in record["rows"]]
    return (
        f"Files that `vaecodec index` takes in for each second of one core, model {record['model']}, {_where(record)}; "
        f"the start of the program is not counted:\n\n{table(['.vaec files', 'a second'], cells)}{_of_search(record)}"
    )


def _of_search(record: Record) -> str:
    if "search" not in record:
        return ""
    search = record["search"]
    return f"\n\nA search of {search['images']:,} images took {search['seconds']:.2f} s on one core."


def _share(false: Record, name: str) -> str:
    above, count = false[f"{name}_above"], false[f"{name}_of"]
    return f"{above} ({100 * above / count:.1f} %)"


def latents_anomalies() -> str:
    """Defects found: image AUROC, pixel AUROC and AUPRO of each method, means over surfaces; and each surface."""
    record = load(RESULTS / "latents" / "anomalies.json")
    if not record:
        return _missing("python -m bench latents anomalies TEXTURES")
    cells = [
        (title, *(f"{record['means'][name][figure]:.3f}" for figure in FIGURES_OF_ANOMALIES))
        for name, title in METHODS_OF_ANOMALIES.items()
    ]
    by_surface = [
        (row["surface"], *(f"{row['methods'][name]['image_auroc']:.2f}" for name in METHODS_OF_ANOMALIES))
        for row in record["rows"]
    ]
    rows, false = record["rows"], record["false_alarms"]
    return (
        f"{len(rows)} textures, {rows[0]['normal']} normal images of each, {rows[0]['tested']} tested, "
        f"{_where(record)}; means:\n\n{table(['', *FIGURES_OF_ANOMALIES.values()], cells)}\n\n"
        "Image AUROC of each texture:\n\n"
        f"{table(['', *METHODS_OF_ANOMALIES], by_surface)}\n\n"
        f"The threshold was for {100 * false['stated']:.0f} %. Of {false['alike_of']} more images of where the normal "
        f"ones are from {_share(false, 'alike')} were above it; of {false['good_of']} good tested images, of another "
        f"part, {_share(false, 'good')}."
    )


def latents_morphs() -> str:
    """How much detail of both photographs is in a mean of their latents."""
    record = load(RESULTS / "latents" / "morphs.json")
    if not record:
        return _missing("python -m bench latents morphs PHOTOS")
    cells = [tuple(f"{a:.2f} + {b:.2f}" for a, b in (row["cross_fade"], row["latents"])) for row in record["rows"]]
    return (
        f"Details of both ends in images between them, medians of {record['options']['pairs']} pairs of held-out "
        f"photographs, {_where(record)}:\n\n{table(['cross-fade of pixels', 'mean of latents'], cells)}"
    )


def _saved_without_noise(point: Record) -> float | None:
    """Percent fewer bytes than a point's, of `base` for the clean Kodak images at its PSNR, if it goes so low."""
    images = load(RESULTS / "kodak" / "vaecodec-base.json").get("rows", {}).values()
    if not images:
        return None
    bits, qualities = (np.mean([image[key] for image in images], axis=0) for key in ("bytes", "psnr"))
    bpp = 8 * bits / KODAK_PIXELS
    if not qualities[0] <= point["psnr"] <= qualities[-1]:
        return None
    return float(100 * (1 - np.exp(np.interp(point["psnr"], qualities, np.log(bpp))) / point["bpp"]))


def latents_denoising() -> str:
    """Noisy photographs: bytes saved at the PSNR that plain coding reaches, decibels at equal bytes."""
    record = load(RESULTS / "latents" / "denoising.json")
    if not record:
        return _missing("python -m bench latents denoising PHOTOS")
    cells = []
    for row in record["summary"]:
        best, decibels = row["plain_best"], row["db_against"]
        gains = (decibels.get(way) for way in ("plain", "nlm+avif", "bm3d+avif"))
        shown = ("" if gain is None else f"{gain:+.1f} dB" for gain in gains)
        saved = "" if row["fewer_bytes"] is None else f"{row['fewer_bytes']:.0f} %"
        bound = _saved_without_noise(best)
        clean = "" if bound is None else f"{bound:.0f} %"
        cells.append((row["noise"], f"{best['psnr']:.1f} dB at {best['bpp']:.2f} bpp", saved, clean, *shown))
    titles = (
        "noise", "best PSNR of plain coding", "fewer bytes for it", "from the clean photograph", "against plain coding",
        "non-local means, AVIF", "BM3D, AVIF",
    )  # fmt: skip
    return (
        f"{record['options']['photos']} Kodak photographs with noise of so many shades, PSNR against the clean ones. "
        "The fourth column is what `base` saves where there is no noise to begin with, the last three are means of the "
        f"difference at equal bytes; {_where(record)}:\n\n"
        f"{table(titles, cells)}"
    )


def latents_denoising_effort() -> str:
    """What refinement adds to the denoising encoder."""
    record = load(RESULTS / "latents" / "denoising-effort.json")
    if not record:
        return _missing("python -m bench latents denoising-effort PHOTOS")
    options, summary = record["options"], record["summary"]
    best, saved = summary["plain_best"], summary["fewer_bytes"]
    return (
        f"On {options['photos']} Kodak photographs with noise ({options['noise']}), at the {best['psnr']:.1f} dB that "
        f"plain coding reaches with {best['bpp']:.2f} bpp: {saved['denoise']:.0f} % fewer bytes by one pass of the "
        f"denoising encoder, {saved['refined']:.0f} % by `--effort {options['effort']}`; {_where(record)}."
    )


BLOCKS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        kodak,
        kodak_efforts,
        models,
        speed,
        practical,
        scale,
        scale_out,
        startup,
        install,
        instructions,
        folders,
        attacks,
        browser,
        latents_search,
        latents_index,
        latents_anomalies,
        latents_morphs,
        latents_denoising,
        latents_denoising_effort,
    )
}


def rewritten(text: str) -> str:
    """A page with all its blocks made anew. Raises KeyError for a block of an unknown name."""
    return BLOCK.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", text)


def stale() -> list[Path]:
    """Pages whose blocks are not what the records say."""
    pages = [ROOT / page for page in PAGES]
    return [page for page in pages if page.exists() and rewritten(page.read_text("utf-8")) != page.read_text("utf-8")]


@click.command("figures")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a page is stale.")
def main(check: bool) -> None:
    """Write the figures of the pages from bench/results."""
    for page in stale():
        click.echo(f"{page.relative_to(ROOT)}: {'stale' if check else 'written'}")
        if check:
            raise SystemExit(1)
        page.write_text(rewritten(page.read_text("utf-8")), encoding="utf-8")
