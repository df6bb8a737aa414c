"""`vaecodec compare`: how large would a JPEG of the same PSNR be?"""

from __future__ import annotations

from typing import Any

import click

from vaecodec.cli import options, report
from vaecodec.cli.paths import PHOTO_SUFFIXES, Job, find, page_job
from vaecodec.cli.results import Record
from vaecodec.cli.run import finish, run
from vaecodec.cli.startup import codec_maker
from vaecodec.levels import DEFAULT_QUALITY


@click.command()
@options.combined(options.photos, options.quality)
@click.option("--html", metavar="FILE", help="Write a page that shows the photos through every codec at equal bytes.")
@options.combined(options.recursive, options.overwrite, options.device, options.model)
@options.combined(options.tune, options.as_json)
def compare(
    photos: tuple[str, ...],
    quality: int | None,
    html: str | None,
    recursive: bool,
    overwrite: bool,
    device: str,
    model: str | None,
    tune: str | None,
    as_json: bool,
) -> None:
    """Compare the size with that of a JPEG of equal PSNR.

    The JPEG is Pillow's (4:2:0, optimized), of the lowest quality that reaches the same PSNR. Nothing is written,
    unless --html asks for a page: one file to open in any browser, without a network, with the photos beside what
    JPEG, WebP, AVIF and JPEG XL make of them at the size of the .vaec file. It takes a minute or so for each photo.

    \b
    vaecodec compare photo.jpg
    vaecodec compare -r samples -q 40
    vaecodec compare photo.jpg --html page.html
    """
    make_codec = codec_maker(options.chosen_model(model, tune), device)
    page = page_job(html, overwrite=overwrite)
    shown: list[tuple[str, Any]] = []

    def work(job: Job) -> Record:
        from vaecodec.cli.comparison import compare_one, open_rgb

        image, upright = open_rgb(job)
        record = compare_one(image, make_codec(), quality or DEFAULT_QUALITY)
        if page is not None:
            shown.append((job.name, upright))
        return record

    def make_page(job: Job) -> Record:
        from vaecodec.cli.comparison import write_page

        return write_page(job, shown, make_codec(), quality or DEFAULT_QUALITY, overwrite=overwrite)

    results = run(find(photos, PHOTO_SUFFIXES, recursive=recursive), work, "comparing")
    lines = report.compare_lines(results.records)
    if page is not None and shown:
        results.page = run([page], make_page, "page").ordered[0]
        lines += report.page_lines(results.page.record)
    finish(results, lines, as_json=as_json)
