"""rANS: golden words, round trips, the compiled coder equal to the reference, hostile streams."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vaecodec.errors import CorruptStream, FormatError, InputError, Truncated
from vaecodec.rans import CdfTables, choice, choose_lanes, coder, information, numba_coder, plain_coder, total_cost
from vaecodec.rans.coder import Segment
from vaecodec.rans.lanes import group_count
from vaecodec.rans.tables import COST_BITS

ROOT = Path(__file__).parents[1]
CODERS = [coder, numba_coder, plain_coder]
LANES = [1, 2, 8, 32, 64, 256]


def make_tables(seed: int = 0, count: int = 16) -> CdfTables:
    """Tables of 1, 2, ... symbols, from nearly uniform to nearly certain."""
    rng = np.random.default_rng(seed)
    drawn = []
    for size in range(1, count + 1):
        cuts = rng.choice(np.arange(1, 65536 if size % 2 else 2 * size + 5), size - 1, replace=False)
        drawn.append(np.array([0, *sorted(cuts), 65536], np.uint32))
    return CdfTables.from_rows(drawn)


TABLES = make_tables()


def draw(tables: CdfTables, count: int, seed: int = 1) -> Segment:
    """Symbols that follow their tables."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(tables.sizes), count).astype(np.uint8)
    slots = rng.integers(0, 1 << 16, count)
    symbols = (tables.quantized_cdf[index, 1:] <= slots[:, None]).sum(1).astype(np.uint16)
    return symbols, index, tables


def decode(module: ModuleType, data: bytes, lanes: int, segments: list[Segment]) -> list[NDArray[np.uint16]]:
    decoder = module.Decoder(data, lanes)
    decoded = [decoder.decode(index, tables) for _, index, tables in segments]
    decoder.finish()
    return decoded


def check(segments: list[Segment], lanes: int) -> bytes:
    """All coders write the same bytes, and all decoders read back what was written."""
    data = coder.encode(segments, lanes)
    assert numba_coder.encode(segments, lanes) == data
    assert plain_coder.encode(segments, lanes) == data
    for module in CODERS:
        for decoded, (symbols, _, _) in zip(decode(module, data, lanes, segments), segments, strict=True):
            assert decoded.dtype == np.uint16
            assert np.array_equal(decoded, symbols)
    return data


# Words

GOLDEN_TABLES = CdfTables.from_rows(
    [np.array(row, np.uint32) for row in ([0, 40000, 50000, 60000, 65536], [0, 65536], [0, 1, 65536])]
)
GOLDEN_Z = np.array([0, 1, 3, 2, 0], np.uint16), np.array([0, 0, 0, 0, 1], np.uint8), GOLDEN_TABLES
GOLDEN_Y = (
    np.array([1, 0, 0, 3, 1, 2, 0, 1, 0], np.uint16),
    np.array([0, 2, 0, 0, 2, 0, 1, 2, 2], np.uint8),
    GOLDEN_TABLES,
)


@pytest.mark.parametrize("module", CODERS)
@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        (1, "be 7d 14 00 d0 cc 39 22 00 00"),
        (4, "62 97 0a 00 d0 a8 27 00 20 f4 10 00 f2 d8 4e 00 f0 d8 00 00"),
    ],
)  # fmt: skip
def test_golden_words(module: ModuleType, lanes: int, words: str) -> None:
    """These bytes are the format: when this fails, old files no longer decode."""
    segments = [GOLDEN_Z, GOLDEN_Y]
    assert module.encode(segments, lanes).hex(" ") == words
    decoded = decode(module, bytes.fromhex(words), lanes, segments)
    assert [d.tolist() for d in decoded] == [GOLDEN_Z[0].tolist(), GOLDEN_Y[0].tolist()]


def test_layout_of_several_groups() -> None:
    """Word counts of all groups but the last, then each group's states and words."""
    data = check([draw(TABLES, 1000)], 64)
    states = np.frombuffer(data, "<u4", 32, 4)
    first = int.from_bytes(data[:4], "little")
    last = np.frombuffer(data, "<u4", 32, 4 + 128 + 2 * first)
    assert (states >= 1 << 16).all()
    assert (last >= 1 << 16).all()


# Round trips


@pytest.mark.parametrize("lanes", LANES)
def test_awkward_sizes(lanes: int) -> None:
    for count in sorted({0, 1, lanes - 1, lanes, lanes + 1, 63, 1000}):
        check([draw(TABLES, count)], lanes)


@pytest.mark.parametrize("lanes", LANES)
def test_segments_each_start_at_lane_0(lanes: int) -> None:
    other = make_tables(seed=5, count=40)
    segments = [draw(TABLES, 63), draw(other, 0), draw(other, lanes + 1, 2), draw(TABLES, 333, 3), draw(TABLES, 1)]
    check(segments, lanes)


def test_no_segments() -> None:
    assert check([], 2) == 2 * (1 << 16).to_bytes(4, "little")


def test_the_most_lanes() -> None:
    check([draw(TABLES, 20_000)], 8192)


def test_the_widest_tables() -> None:
    """4096 symbols, nearly all of frequency 1 and within few ranges of slots; and the coarsest possible: 256 tables."""
    wide = np.array([0, *range(61441, 65537)], np.uint32)
    check([draw(CdfTables.from_rows([wide, 65536 - wide[::-1]] * 128), 2000)], 32)


@st.composite
def streams(draw_: st.DrawFn) -> tuple[list[Segment], int]:
    """Any legal tables and any symbols, likely or not."""
    rows = []
    for _ in range(draw_(st.integers(1, 4))):
        cuts = draw_(st.sets(st.integers(1, 65535), max_size=20))
        rows.append(np.array([0, *sorted(cuts), 65536], np.uint32))
    tables = CdfTables.from_rows(rows)
    segments: list[Segment] = []
    for _ in range(draw_(st.integers(0, 3))):
        index = np.array(draw_(st.lists(st.integers(0, len(rows) - 1), max_size=80)), np.uint8)
        symbols = [draw_(st.integers(0, int(tables.sizes[table]) - 1)) for table in index]
        segments.append((np.array(symbols, np.uint16), index, tables))
    return segments, 1 << draw_(st.integers(0, 7))


@given(streams())
@settings(deadline=None, max_examples=150)
def test_any_symbols_of_any_tables(drawn: tuple[list[Segment], int]) -> None:
    check(*drawn)


@pytest.mark.parametrize("module", CODERS)
def test_views_and_readonly_arrays(module: ModuleType) -> None:
    symbols, index, tables = draw(TABLES, 400)
    symbols.flags.writeable = index.flags.writeable = False
    every_other = (symbols[::2], index[::2], tables)
    data = module.encode([every_other, every_other], 8)
    decoded = decode(module, memoryview(data), 8, [every_other, every_other])  # type: ignore[arg-type]
    assert np.array_equal(decoded[1], symbols[::2])


# Cost


@pytest.mark.parametrize("count", [30_000, 300_000])
def test_coded_size_is_within_half_a_percent(count: int) -> None:
    segment = draw(make_tables(3, 60), count)
    bits = information(*segment)
    lanes = choose_lanes(total_cost(*segment))
    assert lanes > 1
    assert 8 * len(numba_coder.encode([segment], lanes)) <= 1.005 * bits


def test_information_of_certain_and_fair_symbols() -> None:
    tables = CdfTables.from_rows([np.array(row, np.uint32) for row in ([0, 65536], [0, 32768, 65536])])
    assert information(np.array([0, 0, 1], np.uint16), np.array([0, 1, 1], np.uint8), tables) == 2.0
    assert information(np.empty(0, np.uint16), np.empty(0, np.uint8), tables) == 0.0


def test_lanes_grow_with_the_payload() -> None:
    chosen = [choose_lanes(bits << COST_BITS) for bits in (0, 1, 39_999, 40_000, 10**6, 10**9, 10**12)]
    assert chosen == [1, 1, 1, 2, 32, 8192, 8192]
    assert choose_lanes((40_000 << COST_BITS) - 1) == 1
    assert [group_count(lanes) for lanes in (1, 32, 64, 8192)] == [1, 1, 2, 256]


# What a caller may not do


@pytest.mark.parametrize("module", CODERS)
@pytest.mark.parametrize("lanes", [0, -1, 3, 33, 1 << 14])
def test_lanes_are_powers_of_two(module: ModuleType, lanes: int) -> None:
    with pytest.raises(InputError, match=re.escape(f"lanes is {lanes}; it must be a power of two, 1..8192")):
        module.encode([], lanes)
    with pytest.raises(InputError, match=f"lanes is {lanes}"):
        module.Decoder(bytes(100), lanes)


U8, U16 = np.uint8, np.uint16


@pytest.mark.parametrize("module", CODERS)
@pytest.mark.parametrize(
    ("symbols", "index", "message"),
    [
        (np.array([0, 0, 3], U16), np.array([9, 1, 2], U8), "symbol 3 at 2; legal for table 2 is 0..2"),
        (np.array([0], U16), np.array([16], U8), "table_index reaches 16; it must be 0..15"),
        (np.array([0, 0], U16), np.array([0], U8), "symbols are uint16 (2,); they must be uint16 (1,)"),
        (np.array([-1], np.int64), np.array([0], U8), "symbols are int64 (1,); they must be uint16 (1,)"),
        (np.array([0], U16), np.array([-1], np.int8), "table_index is int8 (1,); it must be uint8 [n]"),
        (np.array([[0]], U16), np.array([[0]], U8), "table_index is uint8 (1, 1); it must be uint8 [n]"),
    ],
)
def test_bad_segments_are_named(
    module: ModuleType, symbols: NDArray[np.uint16], index: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        module.encode([(symbols, index, TABLES)], 4)


@pytest.mark.parametrize("module", CODERS)
def test_a_decoder_checks_its_indices(module: ModuleType) -> None:
    decoder = module.Decoder(module.encode([], 1), 1)
    with pytest.raises(InputError, match="table_index reaches 16"):
        decoder.decode(np.array([16], np.uint8), TABLES)


# Damage


@pytest.mark.parametrize("module", CODERS)
@pytest.mark.parametrize("lanes", [1, 32, 128])
def test_every_truncation_and_extension_raises(module: ModuleType, lanes: int) -> None:
    segments = [draw(TABLES, 300)]
    data = numba_coder.encode(segments, lanes)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decode(module, data[:size], lanes, segments)
    with pytest.raises(Truncated, match="payload of"):
        decode(module, data + b"\0", lanes, segments)
    with pytest.raises(CorruptStream, match="1 words are left over; none may be"):
        decode(module, data + b"\0\0", lanes, segments)


@pytest.mark.parametrize("module", CODERS)
def test_lanes_must_come_home(module: ModuleType) -> None:
    data = (1 << 16).to_bytes(4, "little") + (70_000).to_bytes(4, "little")
    with pytest.raises(CorruptStream, match="lane 1 ends in state 70000; it must be 65536"):
        module.Decoder(data, 2).finish()


@pytest.mark.parametrize("module", CODERS)
def test_a_state_below_its_bound_is_refused(module: ModuleType) -> None:
    with pytest.raises(CorruptStream, match="lane 0 starts in state 65535; it must be 65536 or more"):
        module.Decoder((65_535).to_bytes(4, "little"), 1)


@pytest.mark.parametrize("module", CODERS)
def test_groups_cannot_claim_more_words_than_there_are(module: ModuleType) -> None:
    data = bytearray(module.encode([draw(TABLES, 300)], 64))
    data[:4] = b"\xff\xff\xff\xff"
    with pytest.raises(Truncated, match="groups claim 4294967295 words"):
        module.Decoder(bytes(data), 64)


@pytest.mark.parametrize("module", CODERS)
def test_running_dry_twice_is_as_safe_as_once(module: ModuleType) -> None:
    decoder = module.Decoder((1 << 16).to_bytes(4, "little"), 1)
    _, index, tables = draw(TABLES, 5000)
    for _ in range(100):
        with pytest.raises(Truncated, match="group 0: the words end in the middle"):
            decoder.decode(index, tables)


HOSTILE = """
import numpy as np
from tests_rans import CODERS, TABLES, decode, draw, numba_coder
from vaecodec.errors import FormatError

def outcome(module, data, lanes, segments):
    try:
        return [d.tolist() for d in decode(module, data, lanes, segments)]
    except FormatError as error:
        return type(error), str(error)

rng = np.random.default_rng(11)
refused = 0
for attempt in range(400):
    lanes = 1 << attempt % 9
    first, second = (int(count) for count in rng.integers(0, 400, 2))
    segments = [draw(TABLES, first, attempt), draw(TABLES, second, -attempt % 97)]
    data = bytearray(numba_coder.encode(segments, lanes))
    for _ in range(attempt % 4):
        data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
    if attempt % 5 == 0:
        data = bytearray(rng.bytes(len(data)))
    reference, compiled, plain = (outcome(module, bytes(data), lanes, segments) for module in CODERS)
    assert reference == compiled == plain, (attempt, reference, compiled, plain)
    refused += isinstance(compiled, tuple)
print(refused)
"""


@pytest.mark.slow
def test_hostile_streams_stay_in_bounds(tmp_path: Path) -> None:
    """All coders refuse the same streams for the same reason, while numba checks every index of the compiled one."""
    (tmp_path / "tests_rans.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    done = run(HOSTILE, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


# Start-up


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [environment.pop("PYTHONPATH", "")])])
    return subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_needs_no_torch_and_numba_only_in_the_compiled_coder() -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'PIL', 'triton', 'safetensors'): sys.modules[name] = None\n"
        "from vaecodec.rans import CdfTables, choice, coder\n"
        "assert 'numba' not in sys.modules\n"
        "from vaecodec.rans import numba_coder\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = run(script)
    assert done.returncode == 0, done.stderr


FIRST_SYMBOLS = """
import sys
import numpy as np
from vaecodec.rans import CdfTables, choice
tables = CdfTables.from_rows([np.array([0, 5, 65536], np.uint32)])
symbols = np.ones(choice.PLAIN_SYMBOLS // 4, np.uint16)
segment = symbols, np.zeros(len(symbols), np.uint8), tables
data = choice.AUTO.encode([segment], 8)
decoder = choice.AUTO.decoder(data, 8, len(symbols))
assert (decoder.decode(*segment[1:]) == symbols).all()
decoder.finish()
choice.AUTO.encode([segment, segment], 8)
assert not choice.AUTO.is_compiled
assert choice.AUTO.encode([segment], 8) == data
assert choice.AUTO.is_compiled and 'numba' in sys.modules
"""
AGAIN = """
import sys
import numpy as np
from vaecodec.rans import CdfTables, choice
tables = CdfTables.from_rows([np.array([0, 5, 65536], np.uint32)])
symbols = np.ones(choice.FEW_SYMBOLS + 1, np.uint16)
segment = symbols, np.zeros(len(symbols), np.uint8), tables
choice.AUTO.encode([(symbols[1:], segment[1][1:], tables)], 8)
assert not choice.AUTO.is_compiled
choice.AUTO.encode([segment], 8)
assert choice.AUTO.is_compiled and 'numba' not in sys.modules
"""


def test_numba_is_loaded_when_it_is_worth_it(tmp_path: Path) -> None:
    """Once for many symbols; what it has compiled is used by later processes for fewer."""
    for script in (FIRST_SYMBOLS, AGAIN):
        done = run(script, NUMBA_CACHE_DIR=str(tmp_path))
        assert done.returncode == 0, done.stderr


MANY_WORDS = """
import sys
from vaecodec.rans import choice
few, many = (bytes([0, 0, 1, 0]) + bytes(2 * words) for words in (1000, choice.PLAIN_SYMBOLS + 1))
assert choice.AUTO.decoder(few, 1, 5).__module__ == 'vaecodec.rans.plain_coder'
assert choice.AUTO.decoder(many, 1, 5).__module__ == 'vaecodec.rans.numba_coder'
"""


def test_a_stream_of_many_words_goes_to_numba() -> None:
    """Whatever the number of symbols: as Python's integers, words take 18 times the memory that a file paid for."""
    done = run(MANY_WORDS)
    assert done.returncode == 0, done.stderr


def test_a_large_or_unknown_number_of_symbols_goes_to_numba() -> None:
    data = coder.encode([draw(TABLES, 5)], 1)
    for symbols, kind in ((6, plain_coder.Decoder), (7, numba_coder.Decoder), (None, numba_coder.Decoder)):
        start = choice.StartingCoder(plain_symbols=6, few_symbols=6)
        assert isinstance(start.decoder(data, 1, symbols), kind)
        assert start.is_compiled == (kind is numba_coder.Decoder)
    start.use_compiled()
    assert isinstance(start.decoder(data, 1, 1), numba_coder.Decoder)


@pytest.mark.parametrize(("loops", "module"), [("plain", plain_coder), ("numba", numba_coder), ("numpy", coder)])
def test_a_coder_asked_for_codes_whatever_the_size(loops: choice.Loops, module: ModuleType) -> None:
    segment = draw(TABLES, 5)
    data = choice.rans_coder(loops).encode([segment], 1)
    assert data == coder.encode([segment], 1)
    assert isinstance(choice.rans_coder(loops).decoder(data, 1, None), module.Decoder)


ROUND_TRIP = """
import numpy as np
from vaecodec.rans import CdfTables, numba_coder
tables = CdfTables.from_rows([np.array([0, 5, 65536], np.uint32)])
symbols = np.array([0, 1, 1], np.uint16)
data = numba_coder.encode([(symbols, np.zeros(3, np.uint8), tables)], 1)
assert (numba_coder.Decoder(data, 1).decode(np.zeros(3, np.uint8), tables) == symbols).all()
print(numba_coder.LOOPS.are_kept("encode_segment", "decode_segment"))
"""


def install_readonly(folder: Path) -> Path:
    """The package, where compiled code cannot be kept beside it: a file is in the way, which stops root, too."""
    target = folder / "site" / "vaecodec"
    for part in (target, target / "rans", target / "native"):
        part.mkdir(parents=True)
    parts = [path for part in ("rans", "native") for path in (ROOT / "vaecodec" / part).glob("*.py")]
    for path in (ROOT / "vaecodec" / "__init__.py", ROOT / "vaecodec" / "errors.py", *parts):
        (target.parent / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    (target / "native" / "__pycache__").write_text("in the way")
    return target.parent


@pytest.mark.slow
@pytest.mark.parametrize("home", ["home", "in the way"])
def test_a_readonly_install_uses_the_users_cache_or_none(tmp_path: Path, home: str) -> None:
    site = install_readonly(tmp_path)
    cache = tmp_path / "cache"
    if home == "in the way":
        cache.write_text("in the way")
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP], cwd=site, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(home == "home")
    assert home == "in the way" or len(list(cache.glob("vaecodec/*.loop"))) == 3
