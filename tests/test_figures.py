"""The figures of the pages are those of the records; records are whole, of shipped weights, of committed code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bench import figures, records
from bench.lazy import LazyGroup
from bench.records import CHANGED, RESULTS, ROOT, load
from vaecodec.weights.manifest import DEFAULT_MODEL, denoisers, manifest

FILES = sorted(RESULTS.rglob("*.json"))
CHANGES_ARE_REFUSED_SINCE = "2026-11-25"
"""Before, records could be made by code that was in no commit; those left are measured anew one by one."""


def _headers(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Every `made` of a record: of the whole, of its parts, or of the codecs of a summary."""
    if "commit" in record.get("made", {}):
        return [record["made"]]
    parts = record["made"].values() if "made" in record else (part["made"] for part in record.values())
    return list(parts)


@pytest.mark.parametrize("page", figures.PAGES)
def test_the_figures_of_a_page_are_those_of_the_records(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.rewritten(text) == text, f"{page} is stale: python -m bench figures"


def test_every_block_stands_on_a_page() -> None:
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in figures.PAGES)
    assert sorted(re.findall(r"<!-- figures: (\S+) -->", text)) == sorted(figures.BLOCKS)


def test_the_readme_states_no_other_measured_figure() -> None:
    """Percentages, seconds and decibels come from a block or not at all."""
    text = figures.BLOCK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert re.findall(r"\d(?:\.\d+)? ?(?:%|s\b|dB|GiB|MiB)", text) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_every_record_has_one_kind_of_header(path: Path) -> None:
    for header in _headers(load(path)):
        assert {"commit", "machine", "versions", "date"} <= set(header)
        assert header["commit"].removesuffix(CHANGED).isalnum()
        assert not header["commit"].endswith(CHANGED) or header["date"] < CHANGES_ARE_REFUSED_SINCE


def test_records_are_of_weights_that_are_shipped() -> None:
    shipped = {f"model {entry.name} {entry.sha256[:8]}" for entry in manifest()}
    for path in FILES:
        for version in re.findall(r"model [\w-]+ [0-9a-f]{8}", path.read_text(encoding="utf-8")):
            assert version in shipped, path
        for header, models in _headers_with_models(load(path)):
            for name, sha256 in header.get("weights", {}).items():
                assert name not in models or f"model {name} {sha256}" in shipped, path


def _headers_with_models(record: dict[str, Any]) -> list[tuple[dict[str, Any], set[str]]]:
    """Every header, and the models that its results are of; each codec of a summary has a header of its own, and so has
    each part of what was measured in parts."""
    parts = [part for part in record.values() if isinstance(part, dict) and "made" in part]
    if "made" not in record and parts:
        return [pair for part in parts for pair in _headers_with_models(part)]
    if "made" in record and "commit" not in record["made"]:
        return [(header, _models_in(codec)) for codec, header in record["made"].items()]
    results = json.dumps({key: value for key, value in record.items() if key not in ("made", "command")})
    models = _models_in(results) or _denoised(record) or {DEFAULT_MODEL}
    return [(header, models) for header in _headers(record)]


def _denoised(record: dict[str, Any]) -> set[str]:
    """The model of the denoising encoder that made a record, if one did; it must be shipped."""
    if (digest := record.get("options", {}).get("denoiser")) is None:
        return set()
    names = {entry.name for entry in denoisers() if entry.sha256.startswith(digest)}
    assert names, f"no shipped denoising encoder has the hash {digest}"
    return names


def _models_in(text: str) -> set[str]:
    return {entry.name for entry in manifest() if re.search(rf"(?<![\w-]){entry.name}(?![\w-])", text)}


def _group(out: str) -> click.Group:
    @click.command(cls=LazyGroup, lazy={"measure": "tests_figures:main"})
    def group() -> None:
        pass

    @click.command()
    @click.option("--out", default=out)
    def measure(out: str) -> None:
        records.save(Path(out) / "x.json", {"made": {"commit": "0" * 40 + CHANGED}})

    group.get_command = lambda ctx, name: measure  # type: ignore[method-assign]  # noqa: ARG005
    return group


def test_code_that_is_in_no_commit_records_drafts_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(records, "DRAFTS", tmp_path / "drafts")
    group = _group(str(tmp_path / "results"))
    refused = CliRunner().invoke(group, ["measure"])
    assert refused.exit_code == 1
    assert "commit, or say --draft" in refused.output
    assert not (tmp_path / "results").exists()
    assert (tmp_path / "drafts" / "x.json").exists()  # nothing that was measured is lost
    assert CliRunner().invoke(group, ["measure", "--out", str(tmp_path / "elsewhere")]).exit_code == 0
    assert CliRunner().invoke(group, ["--draft", "measure"]).exit_code == 0
    assert (tmp_path / "results" / "x.json").exists()


def test_a_header_says_what_made_a_record() -> None:
    header = records.header("python -m bench rd kodak")
    assert list(header) == ["format", "command", "made"]
    assert header["made"]["weights"] == {entry.name: entry.sha256[:8] for entry in manifest()}


def test_records_name_no_folder_of_one_machine() -> None:
    for path in RESULTS.rglob("*.json"):
        words = shlex.split(str(load(path).get("command", "")))
        assert not [word for word in words if Path(word).is_absolute()], path
