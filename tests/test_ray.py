"""Ray Data and `compress --engine ray`, on a local cluster: equal bytes, errors as values, workers that die."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from tests.stores import KEY, FaultyStore, credentials, put_photos, serving
from vaecodec import urls
from vaecodec.cli.cluster import MOST_PIXELS, SHARES, bundles

MODEL = ("--model", "fast-perceptual")
# Ray warns its own developers.
needs_ray = pytest.mark.filterwarnings("ignore")


@given(st.lists(st.integers(1, 10**9), max_size=60), st.integers(0, 8))
def test_bundles_hold_everything_once_and_are_of_about_equal_weight(weights: list[int], workers: int) -> None:
    parts = bundles(weights, workers)
    assert sorted(number for part in parts for number in part) == list(range(len(weights)))
    most = min(MOST_PIXELS, max(1, sum(weights) // (SHARES * max(1, workers))))
    assert all(len(part) == 1 or sum(weights[number] for number in part) <= most for part in parts)
    heaviest = [max(weights[number] for number in part) for part in parts]
    assert heaviest == sorted(heaviest, reverse=True)


@pytest.fixture(scope="module")
def store() -> Iterator[FaultyStore | None]:
    """An S3 server whose key is in the environment of the cluster; None where its libraries are not installed."""
    if not all(importlib.util.find_spec(name) for name in ("s3fs", "moto", "flask_cors")):
        yield None
        return
    application = FaultyStore()
    with serving(application) as endpoint, pytest.MonkeyPatch.context() as monkeypatch:
        credentials(monkeypatch, endpoint, KEY)
        yield application


@pytest.fixture(scope="module")
def cluster(store: FaultyStore | None) -> Iterator[Any]:
    """Two nodes of one CPU each."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'vaecodec[ray]'")
    pytest.importorskip("pyarrow", reason="Ray Data needs pyarrow")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    nodes.add_node(num_cpus=1, object_store_memory=100_000_000)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def photos(command: Command, photo: NDArray[np.uint8]) -> Path:
    """Images of many sizes, one that is none, and two that would have one output."""
    for number in range(24):
        path = Path("photos", f"{number % 3}", f"{number:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tile(photo, (1 + number // 4, 1 + number % 4, 1))).save(path)
    Path("photos/0/broken.png").write_bytes(b"no image")
    Image.fromarray(photo).save("photos/0/00.bmp")
    return Path("photos")


def _files(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _rows(path: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(Path(path).read_text().splitlines()))
    return sorted(({**row, "seconds": ""} for row in rows), key=lambda row: row["source"])


@needs_ray
def test_a_folder_has_the_bytes_and_the_report_of_the_local_command(
    cluster: Any, command: Command, photos: Path
) -> None:
    local = command("compress", "-r", "photos", "-o", "local", "--report", "local.csv", *MODEL)
    done = command("compress", "-r", "photos", "-o", "ray", "--report", "ray.csv", "--engine", "ray", *MODEL)
    assert (local.code, done.code) == (1, 1), done
    assert _files("ray") == _files("local")
    assert len(_files("ray")) == 24
    rows = [{**row, "output": row["output"].replace("ray/", "local/", 1)} for row in _rows("ray.csv")]
    assert [{**row, "error": row["error"].replace("ray/", "local/", 1)} for row in rows] == _rows("local.csv")
    before = {path: path.stat().st_mtime_ns for path in Path("ray").rglob("*.vaec")}
    resumed = ("compress", "-r", "photos", "-o", "ray", "--report", "ray.csv", "--resume", "--engine", "ray", *MODEL)
    again = command(*resumed)
    assert "24 files skipped: made before" in again.out
    assert {path: path.stat().st_mtime_ns for path in Path("ray").rglob("*.vaec")} == before
    assert command("compress", "-r", "photos/1", "-o", "ray/1", "--engine", "ray", *MODEL).code == 6


def _workers(root: int) -> list[int]:
    """The processes of Ray's actors of maps below a process, by their ids."""
    parents: dict[int, int] = {}
    names: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue

    def is_below(process: int) -> bool:
        while process > 1 and process != root:
            process = parents.get(process, 0)
        return process == root

    return [process for process, name in names.items() if name.startswith(b"ray::Map") and is_below(process)]


class _Meanwhile(threading.Thread):
    """Does something once so many outputs are there."""

    def __init__(self, outputs: int, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._outputs, self._work, self.is_done = outputs, work, False
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.is_set():
            if len(list(Path("ray").rglob("*.vaec"))) >= self._outputs:
                self._work()
                self.is_done = True
                return
            time.sleep(0.02)

    def stop(self) -> bool:
        self._stopped.set()
        self.join()
        return self.is_done


def _kill_a_worker() -> None:
    while not (workers := _workers(os.getpid())):
        time.sleep(0.02)
    os.kill(workers[0], signal.SIGKILL)


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="workers are looked for in /proc")
def test_nothing_is_lost_or_partial_when_a_worker_is_killed(cluster: Any, command: Command, photos: Path) -> None:
    killing = _Meanwhile(3, _kill_a_worker)
    done = command("compress", "-r", "photos", "-o", "ray", "--engine", "ray", "--json", *MODEL)
    assert killing.stop()
    document = json.loads(done.out)
    assert len(document["files"]) == 24, document["failed"]
    assert [item["source"] for item in document["failed"]] == ["photos/0/00.png", "photos/0/broken.png"]
    assert len({item["output"] for item in document["files"]}) == 24
    assert sorted(_files("ray")) == sorted(item["output"].removeprefix("ray/") for item in document["files"])
    assert command("verify", "-r", "ray").code == 0
    assert len({item["worker"] for item in document["files"]}) > 1


@needs_ray
def test_actors_read_and_write_objects_of_a_store_that_fails(
    cluster: Any, store: FaultyStore | None, command: Command, photo: NDArray[np.uint8]
) -> None:
    if store is None:
        pytest.skip("an S3 server on loopback needs s3fs, moto and flask-cors")
    import s3fs

    s3fs.S3FileSystem().mkdir("photos")
    names = tuple(f"{number:02}.png" for number in range(10))
    put_photos("s3://photos/in", photo, names)
    store.throttled, store.failed, store.lost = 7, 5, 4
    done = command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "--engine", "ray", *MODEL)
    counts = dict(store.counts)
    store.throttled = store.failed = store.lost = 0
    assert done.code == 0, done
    assert min(counts[kind] for kind in ("throttled", "failed", "lost")) > 0
    assert list(urls.listing("s3://photos/out")) == [f"{number:02}.vaec" for number in range(10)]
    assert command("compress", "-r", "s3://photos/in", "-o", "local", *MODEL).code == 0
    for name, data in _files("local").items():
        assert urls.read(f"s3://photos/out/{name}") == data


@needs_ray
def test_columns_of_bytes_go_in_and_out_and_errors_are_values(
    cluster: Any, command: Command, photo: NDArray[np.uint8]
) -> None:
    import ray.data

    import vaecodec.ray

    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    rows = [{"key": 1, "bytes": file.getvalue()}, {"key": 2, "bytes": b"no image"}, {"key": 3, "bytes": None}]
    small = vaecodec.ray.compress(ray.data.from_items(rows), quality=70, model=MODEL[1], concurrency=1).materialize()
    coded = {row["key"]: row for row in small.take_all()}
    assert coded[1]["vaec"] == vaecodec.encode(photo, 70, model=MODEL[1])
    assert [coded[key]["error"] is None for key in (1, 2, 3)] == [True, False, False]
    assert coded[2]["vaec"] is None
    assert coded[2]["error"].startswith("InputError: the image cannot be read")
    images = {row["key"]: row for row in vaecodec.ray.decompress(small, concurrency=1).take_all()}
    with Image.open(io.BytesIO(images[1]["bytes"])) as image:
        np.testing.assert_array_equal(np.asarray(image), vaecodec.decode(coded[1]["vaec"], as_array=True))
    assert (images[3]["bytes"], images[1]["error"]) == (None, None)


def test_the_classes_need_a_table_alone(photo: NDArray[np.uint8]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="columns of bytes are Arrow's")
    from vaecodec.ray import Compressor, Decompressor

    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    table = pyarrow.table({"bytes": [file.getvalue(), b""], "error": ["old", "old"]})
    coded = Compressor(model=MODEL[1], options={"mode": "neural"})(table)
    assert coded.column_names == ["bytes", "vaec", "error"]
    assert coded.column("error").to_pylist()[0] is None
    assert Decompressor(into="image")(coded).column("image").to_pylist()[1] is None
    with pytest.raises(vaecodec.InputError, match="column is 'other'; it must be one of bytes, error"):
        Compressor("other")(table)


def test_what_a_cluster_cannot_do_is_said(command: Command, photo: NDArray[np.uint8], monkeypatch: Any) -> None:
    Image.fromarray(photo).save("a.png")
    for arguments in (("-o", "-"), ("--delete-original",)):
        assert command("compress", "a.png", "--engine", "ray", *arguments).code == 2, arguments
    assert command("compress", "a.png", "--address", "localhost:1").code == 2
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    done = command("compress", "a.png", "--engine", "ray")
    assert (done.code, done.err) == (8, "vaecodec: --engine ray needs Ray: pip install 'vaecodec[ray]'\n")
