"""Several processes, one per GPU, started by torchrun; without torchrun everything here is a no-op.

    torchrun --nproc-per-node 4 -m vaecodec train PHOTOS --batch 128

Gradients are averaged by DistributedDataParallel; process 0 alone writes, evaluates and reports.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist

from vaecodec.errors import InputError

AGREE_EVERY = 10
"""Steps between two agreements on when to stop: each one makes the processes wait for each other."""


@dataclass(frozen=True)
class Peers:
    """This process's number and how many there are; the device that they talk through."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    @property
    def leads(self) -> bool:
        """Whether this process writes, evaluates and reports."""
        return self.rank == 0

    def share_of(self, batch: int) -> int:
        """Images of a batch for this process. Raises InputError unless they divide evenly."""
        if batch % self.world:
            message = f"batch is {batch}; it must be a multiple of the {self.world} processes"
            raise InputError(message)
        return batch // self.world

    def agree(self, stop: bool, steps: int) -> tuple[bool, int]:
        """(whether any process wants to stop, the last step as process 0 sees it), the same everywhere."""
        if self.world == 1:
            return stop, steps
        wish, last = torch.tensor([float(stop)], device=self.device), torch.tensor([steps], device=self.device)
        dist.all_reduce(wish, dist.ReduceOp.MAX)
        dist.broadcast(last, 0)
        return bool(wish.item()), int(last.item())


def join(device: torch.device) -> Peers:
    """Meet the other processes that torchrun started; alone where it did not. `device`: cpu, cuda or cuda:N."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Peers(device=device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Peers(dist.get_rank(), world, device)


def leave() -> None:
    """Say goodbye; to be called once at the end."""
    if dist.is_initialized():
        dist.destroy_process_group()
