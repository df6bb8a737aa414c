"""The PyTorch example of docs/data-sets.md, as it is written there."""

from __future__ import annotations

import multiprocessing
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vaecodec

PAGE = Path(__file__).parents[1] / "docs" / "data-sets.md"


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # two workers, also on one core
@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="the example's classes are in no module")
def test_the_data_loader_decodes_crops_in_its_workers(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    paths = [tmp_path / f"{number}.vaec" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(vaecodec.encode(Image.fromarray(photo[: 40 + number]), model="fast-perceptual"))
    example = re.search(r"<!-- data loader -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {"paths": paths, "__name__": "example"}
    exec(example[1].replace("256", "32"), names)  # noqa: S102
    batches = list(names["loader"])
    assert [tuple(batch.shape) for batch in batches] == [(5, 3, 32, 32)]
    random.seed(3)
    crop = names["Crops"](paths, 32)[1]
    random.seed(3)
    x, y = random.randrange(90 - 31), random.randrange(41 - 31)
    whole = vaecodec.decode(paths[1], as_array=True)
    assert torch.equal(crop, torch.from_numpy(whole[y : y + 32, x : x + 32]).permute(2, 0, 1))
