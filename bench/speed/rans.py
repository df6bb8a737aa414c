"""`python -m bench rans`: speed and size of the entropy coder, against constriction's ANS coder in the same run.

The task: many symbols over 64 tables of discretized Gaussians, at about one bit a symbol, as in a photo. Both
coders get tables that are ready made. constriction takes one table a call, so symbols have to be sorted by table first.
It is measured twice: with that sorting as part of the work, as a codec would have to use it, and without.

Times are CPU times of one thread, the best of several rounds in which the coders take turns: other work on the machine
then hardly matters. A coder whose decoded symbols differ from its input is an error, not a row.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.records import RESULTS, Record, header, installed, save
from vaecodec.entropy.quantize import pmf_to_frequencies
from vaecodec.rans import CdfTables, choose_lanes, coder, information, numba_coder, total_cost

TABLES = 64
SIGMA_MIN, SIGMA_MAX = 0.11, 64.0
TAIL = 1e-6
# Table indices are drawn from a normal law with these parameters: about one bit a symbol.
INDEX_MEAN, INDEX_DEVIATION = 13.5, 8.0
REFERENCE_SHARE = 16  # the NumPy reference gets this part of the symbols: it is there to be read, not to be fast
REFERENCE_TITLE = f"vaecodec, NumPy reference, 1/{REFERENCE_SHARE} of the symbols"

Symbols = NDArray[np.uint16]
Index = NDArray[np.uint8]


def gaussian_row(sigma: float) -> NDArray[np.uint32]:
    """Quantized cdf over 0, 1, -1, 2, -2, ... of a Gaussian rounded to integers."""
    largest = max(1, math.ceil(5 * sigma))

    def mass(m: int) -> float:
        scaled = 1 / (sigma * math.sqrt(2))
        return max(TAIL / (2 * largest), 0.5 * (math.erf((m + 0.5) * scaled) - math.erf((m - 0.5) * scaled)))

    pmf = [mass(0), *(mass(m) for m in range(1, largest + 1) for _ in range(2))]
    return np.concatenate([[0], np.cumsum(pmf_to_frequencies(np.array(pmf)))]).astype(np.uint32)


def gaussian_tables() -> CdfTables:
    """64 tables, log-spaced."""
    return CdfTables.from_rows([gaussian_row(sigma) for sigma in np.geomspace(SIGMA_MIN, SIGMA_MAX, TABLES)])


def draw(tables: CdfTables, count: int, seed: int = 0) -> tuple[Symbols, Index]:
    """`count` symbols, each drawn from its own table."""
    rng = np.random.default_rng(seed)
    index = np.clip(rng.normal(INDEX_MEAN, INDEX_DEVIATION, count), 0, TABLES - 1).astype(np.uint8)
    slots = rng.integers(0, 1 << 16, count)
    symbols = np.empty(count, np.uint16)
    for table, size in enumerate(tables.sizes):
        here = index == table
        symbols[here] = np.searchsorted(tables.quantized_cdf[table, 1 : size + 1], slots[here], side="right")
    return symbols, index


class Vaecodec:
    """The coder of this package, compiled (`numba_coder`) or the reference (`coder`)."""

    def __init__(self, title: str, module: Any, task: tuple[Symbols, Index, CdfTables], lanes: int) -> None:
        self.title, self.module, self.task, self.lanes = title, module, task, lanes
        self.symbols = task[0]

    def encode(self) -> bytes:
        data: bytes = self.module.encode([self.task], self.lanes)
        return data

    def decode(self, data: bytes) -> Symbols:
        decoder = self.module.Decoder(data, self.lanes)
        symbols: Symbols = decoder.decode(*self.task[1:])
        decoder.finish()
        return symbols


class Constriction:
    """constriction's AnsCoder with one Categorical model a table, on symbols that are sorted by table already."""

    title = "constriction ANS, sorted before"

    def __init__(self, symbols: Symbols, index: Index, tables: CdfTables) -> None:
        import constriction

        self.coder = constriction.stream.stack.AnsCoder
        categorical = constriction.stream.model.Categorical
        self.models = [
            categorical(np.diff(row[: size + 1].astype(np.float64)), perfect=False)
            for row, size in zip(tables.quantized_cdf, tables.sizes, strict=True)
        ]
        self.parts = split(symbols.astype(np.int32), index)
        self.symbols = np.concatenate(self.parts)

    def encode(self) -> NDArray[np.uint32]:
        return self.encode_parts(self.parts)

    def decode(self, words: NDArray[np.uint32]) -> NDArray[np.int32]:
        return np.concatenate(self.decode_parts(words, [len(part) for part in self.parts]))

    def encode_parts(self, parts: list[NDArray[np.int32]]) -> NDArray[np.uint32]:
        coder = self.coder()
        for part, model in zip(reversed(parts), reversed(self.models), strict=True):
            coder.encode_reverse(part, model)
        words: NDArray[np.uint32] = coder.get_compressed()
        return words

    def decode_parts(self, words: NDArray[np.uint32], counts: list[int]) -> list[NDArray[np.int32]]:
        coder = self.coder(words)
        return [coder.decode(model, count) for model, count in zip(self.models, counts, strict=True)]


class ConstrictionInOrder(Constriction):
    """constriction on the symbols as they come, as a codec has them: sorting and unsorting are part of the work."""

    title = "constriction ANS, as they come"

    def __init__(self, symbols: Symbols, index: Index, tables: CdfTables) -> None:
        super().__init__(symbols, index, tables)
        self.symbols, self.index = symbols.astype(np.int32), index

    def encode(self) -> NDArray[np.uint32]:
        return self.encode_parts(split(self.symbols, self.index))

    def decode(self, words: NDArray[np.uint32]) -> NDArray[np.int32]:
        counts, order = np.bincount(self.index, minlength=TABLES), np.argsort(self.index, kind="stable")
        symbols = np.empty_like(self.symbols)
        symbols[order] = np.concatenate(self.decode_parts(words, counts.tolist()))
        return symbols


def split(symbols: NDArray[np.int32], index: Index) -> list[NDArray[np.int32]]:
    """The symbols of each table."""
    order = np.argsort(index, kind="stable")
    return np.split(symbols[order], np.cumsum(np.bincount(index, minlength=TABLES))[:-1])


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Result and CPU seconds of this thread."""
    start = time.thread_time()
    result = action()
    return result, time.thread_time() - start


def measure(contenders: list[Any], rounds: int) -> list[Record]:
    """Encode and decode in turns, `rounds` times after one that warms up; every decoded array is compared."""
    times: dict[str, list[tuple[float, float]]] = {contender.title: [] for contender in contenders}
    sizes: dict[str, int] = {}
    for number in range(rounds + 1):
        for contender in contenders:
            data, encode_s = timed(contender.encode)
            decoded, decode_s = timed(lambda c=contender, d=data: c.decode(d))  # type: ignore[misc]
            if not np.array_equal(decoded, contender.symbols):
                message = f"{contender.title}: the decoded symbols differ from the encoded ones"
                raise click.ClickException(message)
            sizes[contender.title] = memoryview(data).nbytes
            if number:
                times[contender.title].append((encode_s, decode_s))
    return [row(contender, sizes[contender.title], times[contender.title]) for contender in contenders]


def row(contender: Any, size: int, times: list[tuple[float, float]]) -> Record:
    """One coder's line: millions of symbols a second, best and median of the rounds."""
    millions = len(contender.symbols) / 1e6
    record: Record = {"coder": contender.title, "symbols": len(contender.symbols), "bytes": size}
    for name, seconds in zip(("encode", "decode"), zip(*times, strict=True), strict=True):
        record[f"{name}_best"] = round(millions / min(seconds), 2)
        record[f"{name}_median"] = round(millions / statistics.median(seconds), 2)
    return record


def ratio(mine: Record, other: Record) -> dict[str, float]:
    """How many times as fast, best against best."""
    return {name: round(mine[f"{name}_best"] / other[f"{name}_best"], 2) for name in ("encode", "decode")}


def table_lines(rows: list[Record], ideal: dict[int, float], lanes: int) -> list[str]:
    """The table people read. ideal: ideal content in bytes by number of symbols."""
    lines = [
        f"| coder ({lanes} lanes) | encode M symbols/s (median) | decode M symbols/s (median) | over ideal size |",
        "|---|---|---|---|",
    ]
    for r in rows:
        speeds = " | ".join(f"{r[f'{name}_best']:.1f} ({r[f'{name}_median']:.1f})" for name in ("encode", "decode"))
        lines.append(f"| {r['coder']} | {speeds} | {100 * (r['bytes'] / ideal[r['symbols']] - 1):+.3f} % |")
    return lines


@click.command("rans")
@click.option("--symbols", default=1 << 20, show_default=True, type=click.IntRange(1 << 10), help="How many.")
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1))
@click.option("--lanes", type=click.IntRange(1, 1 << 13), help="A power of two; chosen as for files by default.")
@click.option("--out", default=str(RESULTS / "rans.json"), show_default="bench/results/rans.json", type=click.Path())
def main(symbols: int, rounds: int, lanes: int | None, out: str) -> None:
    """Speed and size of the entropy coder, beside constriction's."""
    tables = gaussian_tables()
    values, index = draw(tables, symbols)
    few = symbols // REFERENCE_SHARE
    ideal = {n: information(values[:n], index[:n], tables) / 8 for n in (symbols, few)}
    lanes = lanes or choose_lanes(total_cost(values, index, tables))
    task = (values, index, tables)
    try:
        peers = [ConstrictionInOrder(*task), Constriction(*task)]
    except ImportError as error:
        message = "constriction is missing; install it with: pip install 'vaecodec[bench]'"
        raise click.ClickException(message) from error
    rows = measure([Vaecodec("vaecodec, numba", numba_coder, task, lanes), *peers], rounds)
    rows += measure([Vaecodec(REFERENCE_TITLE, coder, (values[:few], index[:few], tables), lanes)], 1)
    ratios = {peer.title: ratio(rows[0], rows[1 + number]) for number, peer in enumerate(peers)}
    click.echo("\n".join(table_lines(rows, ideal, lanes)))
    for title, times in ratios.items():
        click.echo(f"vaecodec over {title}: encode {times['encode']}, decode {times['decode']}")
    setting = {"symbols": symbols, "tables": TABLES, "bits_per_symbol": round(8 * ideal[symbols] / symbols, 4)}
    setting |= {"lanes": lanes, "rounds": rounds, "ideal_bytes": round(ideal[symbols], 1)}
    record: Record = {**header(), "setting": setting}
    record["made"]["versions"] |= installed(("constriction",))
    save(Path(out), {**record, "million_symbols_per_second": rows, "vaecodec_over": ratios})
    click.echo(f"written to {out}")


if __name__ == "__main__":
    main(prog_name="python -m bench.speed.rans")
