"""The Daft example of docs/scale.md, as it is written there."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_class_of_ray_works_in_daft(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    pytest.importorskip("daft", reason="the example runs in Daft: pip install daft")
    import pyarrow.parquet

    example = re.search(r"<!-- daft -->\n```python\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(example[1])
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(photo[: 40 + number]).save(tmp_path / "photos" / f"{number}.jpg")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env={**os.environ, **paths}, check=True)
    rows = {Path(row["path"]).name: row for row in pyarrow.parquet.read_table(tmp_path / "small").to_pylist()}
    assert sorted(rows) == ["0.jpg", "1.jpg", "2.jpg", "broken.jpg"]
    assert rows["broken.jpg"]["vaec"] is None
    assert rows["broken.jpg"]["error"].startswith("InputError: the image cannot be read")
    for number in range(3):
        data = (tmp_path / "photos" / f"{number}.jpg").read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            assert rows[f"{number}.jpg"]["vaec"] == vaecodec.encode(image, 60)
