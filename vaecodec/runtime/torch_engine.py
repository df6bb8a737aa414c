"""The networks and coders of a model in PyTorch: on a GPU, and as the reference on a CPU."""

from __future__ import annotations

import torch

from vaecodec.entropy.model import EntropyModel
from vaecodec.networks.exact import make_exact
from vaecodec.networks.layers import RowBlock
from vaecodec.networks.network import CodecNetwork
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.context_steps import ContextSteps, TorchSteps
from vaecodec.runtime.latent_coders import CpuLatents, LatentCoder
from vaecodec.runtime.loading import load_model
from vaecodec.runtime.memory import Memory
from vaecodec.runtime.pipeline import TorchPipeline
from vaecodec.weights.store import StoredModel


class TorchEngine:
    """Safe to share between threads."""

    def __init__(self, stored: StoredModel, plan: Plan) -> None:
        self.model = load_model(stored)
        fit(self.model.network, plan)
        self._steps, self._coder = make_steps(self.model.network, plan), make_coder(self.model.entropy, plan)
        self._device_type = plan.device_type

    def pipeline(self, max_memory: int | None) -> TorchPipeline:
        """What codes with the model. max_memory: bytes."""
        return TorchPipeline(self.model, self._steps, self._coder, self.memory(max_memory))

    def memory(self, max_memory: int | None) -> Memory:
        """The limits of memory, with the threads that PyTorch has now."""
        return Memory(max_memory, self._device_type, torch.get_num_threads())


# Each form is imported where a plan asks for it: those for a GPU import Triton.


def fit(network: CodecNetwork, plan: Plan) -> None:
    """Move a network to the plan's device and give its blocks their type, its layers their form."""
    network.to(plan.device)
    set_block_type(network, getattr(torch, plan.dtype))
    if plan.networks == "exact":
        make_exact(network)
    elif plan.networks == "triton":
        from vaecodec.runtime.cuda import fit_to_gpu

        fit_to_gpu(network)


def make_steps(network: CodecNetwork, plan: Plan) -> ContextSteps:
    """The context steps of a plan."""
    if plan.context_steps == "triton":
        from vaecodec.runtime.triton_steps import TritonSteps

        return TritonSteps(network)
    return TorchSteps(network)


def make_coder(model: EntropyModel, plan: Plan) -> LatentCoder:
    """The coder of a plan. Raises BackendError where it can't run."""
    if plan.coder == "cpu":
        return CpuLatents(model, plan)
    from vaecodec.runtime.gpu_latents import GpuLatents

    return GpuLatents(model, plan)


def set_block_type(network: CodecNetwork, dtype: torch.dtype) -> None:
    """Give the blocks a type, and them only: what enters and leaves them needs more than 8 bits of mantissa.

    h_mean and the context keep float32: on images that are no photographs their products are so large that in bfloat16
    pixels would be 10 levels off (a CPU looks at each image for that, see `cpu.networks`).
    """
    for part in (network.g_a, network.g_s, network.h_a):
        for module in part.modules():
            if isinstance(module, RowBlock):
                module.to(dtype)
