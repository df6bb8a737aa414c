"""The benchmark of anomalies: its figures against hand-made ones, its textures, and the layout of MVTec AD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy", reason="the benchmark's figures need SciPy")

from bench.latents.detection import aupro, auroc, region_weights
from bench.latents.surfaces import AREA, defect, defect_mask, of_folder, of_texture, perlin, surfaces


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert auroc(np.array([1.0, 3, 2, 4]), np.array([False, False, True, True])) == 0.75
    assert auroc(np.array([5.0, 5, 5]), np.array([True, False, True])) == 0.5


def test_each_region_weighs_as_much_as_another() -> None:
    mask = np.zeros((6, 6), bool)
    mask[0, :4] = mask[4:, 4:] = True
    weights = region_weights(mask)
    assert weights[0, 0] == 0.25
    assert weights[5, 5] == 0.25
    assert weights.sum() == 2


def test_aupro_of_a_perfect_a_useless_and_a_half_map() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:6, 2:6] = mask[10:12, 10:12] = True
    assert aupro([mask.astype(float)], [mask]) == 1
    assert aupro([np.zeros((20, 20))], [mask]) == pytest.approx(0.15)  # found together with all: the diagonal
    half = mask.astype(float)
    half[10:12, 10:12] = 0  # one of two regions; the other comes with the good pixels
    assert aupro([half], [mask]) == pytest.approx(0.5 + 0.5 * 0.15)


def test_perlin_noise_is_smooth_and_within_its_range() -> None:
    noise = perlin((64, 48), (4, 2), np.random.default_rng(0))
    assert noise.shape == (64, 48)
    assert np.abs(noise).max() <= 1
    assert noise.std() > 0.1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.3


def test_defects_are_where_the_mask_says() -> None:
    rng = np.random.default_rng(1)
    image = np.full((256, 256, 3), 100, np.uint8)
    defective = defect(image, np.full((300, 300, 3), 250, np.uint8), rng)
    assert AREA[0] <= defective.truth.mean() <= AREA[1]
    assert ((defective.image != image).any(axis=2) == defective.truth).all()
    assert (
        defect_mask((256, 256), np.random.default_rng(2)) == defect_mask((256, 256), np.random.default_rng(2))
    ).all()


def test_normal_and_tested_images_are_of_different_parts() -> None:
    texture = np.zeros((512, 1024, 3), np.uint8)
    texture[:, 614:] = 200
    parts = of_texture("x", texture, [texture], np.random.default_rng(0))
    assert not any(image.any() for image in (*parts.normal, *parts.alike))
    assert all((tested.image == 200).all() for tested in parts.tested if tested.mask is None)


def test_a_folder_laid_out_as_mvtec_ad(tmp_path: Path) -> None:
    root = tmp_path / "tile"
    for name in ("train/good", "test/good", "test/crack", "ground_truth/crack"):
        (root / name).mkdir(parents=True)
    image, mask = Image.new("RGB", (40, 30), "gray"), Image.new("L", (40, 30))
    mask.putpixel((3, 5), 255)
    for name in ("train/good/000", "test/good/000", "test/crack/000"):
        image.save(root / f"{name}.png")
    mask.save(root / "ground_truth/crack/000_mask.png")
    [surface] = surfaces(tmp_path)
    assert (surface.name, len(surface.normal)) == ("tile", 1)
    assert [tested.kind for tested in surface.tested] == ["crack", "good"]
    assert np.argwhere(surface.tested[0].truth).tolist() == [[5, 3]]
    assert not surface.tested[1].truth.any()
    (root / "ground_truth/crack/000_mask.png").unlink()
    with pytest.raises(FileNotFoundError):
        of_folder(root)
