"""What the anomaly detector is measured beside: statistics of pixels, and a small autoencoder trained on the normals.

Both give maps like the detector's own, at a position for every 8 or 16 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from vaecodec.latents.anomalies import Moments

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]
Detector = Callable[[Pixels], Map]

WINDOW, STEP = 16, 8
ORIENTATIONS = 6
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

CROP, BATCH, STEPS = 64, 16, 250
CHANNELS = (16, 32, 16)
"""Of the autoencoder, from 1/2 to 1/8 of the size."""
CELL = 16


def statistics(normal: Sequence[Pixels]) -> Detector:
    """The Mahalanobis distance of local means, deviations and histograms of gradients, in windows of 16 pixels."""
    moments = Moments()
    for image in normal:
        moments.add(_features(image).reshape(-1, _COUNT))
    gaussian = moments.gaussian()

    def detect(image: Pixels) -> Map:
        features = _features(image)
        return gaussian.distances(features.reshape(-1, _COUNT)).reshape(features.shape[:2])

    return detect


_COUNT = 3 + 1 + ORIENTATIONS + 4


def _features(image: Pixels) -> NDArray[np.float32]:
    """float32 [h, w, 14] every 8 pixels: mean of R, G, B; log of gradients, whole and by orientation; of deviations."""
    rgb = np.moveaxis(image.astype(np.float32) / 255, 2, 0)
    luma = np.tensordot(LUMA, rgb, 1)
    across, down = (ndimage.sobel(luma, axis) / 8 for axis in (1, 0))
    length, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi / np.pi * ORIENTATIONS
    distance = np.abs(angle - np.arange(ORIENTATIONS)[:, None, None])
    shares = np.maximum(0, 1 - np.minimum(distance, ORIENTATIONS - distance))
    channels = np.concatenate([rgb, length[None], shares * length])
    means, squares = (
        ndimage.uniform_filter(each, (0, WINDOW, WINDOW), mode="nearest") for each in (channels, channels[:4] ** 2)
    )
    spread = np.sqrt(np.maximum(squares - means[:4] ** 2, 0))
    features = np.concatenate([means[:3], np.log(np.concatenate([means[3:], spread]) + 0.01)])
    return np.ascontiguousarray(np.moveaxis(features[:, STEP // 2 :: STEP, STEP // 2 :: STEP], 0, 2), np.float32)


def autoencoder(normal: Sequence[Pixels], seed: int = 0) -> Detector:
    """The reconstruction error of a convolutional autoencoder with 16 channels at 1/8 of the size, in cells of 16."""
    torch.manual_seed(seed)
    network, rng = _network(), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    for _ in range(STEPS):
        batch = _tensor([_crop(normal[int(rng.integers(len(normal)))], rng) for _ in range(BATCH)])
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(batch), batch).backward()
        optimizer.step()
        schedule.step()
    network.eval()

    def detect(image: Pixels) -> Map:
        height, width = (-(-side // CELL) * CELL for side in image.shape[:2])
        padded = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
        with torch.inference_mode():
            batch = _tensor([padded])
            error = (network(batch) - batch).square().mean(1, keepdim=True)
            return torch.nn.functional.avg_pool2d(error, CELL)[0, 0].sqrt().numpy()

    return detect


def _network() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    sides = (3, *CHANNELS)
    for before, after in pairwise(sides):
        layers += [torch.nn.Conv2d(before, after, 4, 2, 1), torch.nn.BatchNorm2d(after), torch.nn.LeakyReLU(0.1)]
    layers = layers[:-2]
    for before, after in pairwise(sides[::-1]):
        layers += [
            torch.nn.ConvTranspose2d(before, after, 4, 2, 1),
            torch.nn.BatchNorm2d(after),
            torch.nn.LeakyReLU(0.1),
        ]
    return torch.nn.Sequential(*layers[:-2])


def _tensor(images: Sequence[Pixels]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div(255).sub(0.5)


def _crop(image: Pixels, rng: np.random.Generator) -> Pixels:
    side = min(CROP, *image.shape[:2]) // CELL * CELL
    top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
