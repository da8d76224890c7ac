"""How large a network is, counted and not computed by hand."""

import io
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from bodyloop.nets.estimator import Candidate, Crops, Estimator


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of a network.

    Attributes:
        multiply_adds: operations for one person, in billions; a multiply and an add are one, and only convolutions and
            matrix products count, as in the papers' tables.
        parameters: trainable ones, in millions.
        megabytes: 2^20 bytes of the weights in single precision, in torch's own file format.
    """

    multiply_adds: float
    parameters: float
    megabytes: float


def blank_crops(network: Estimator, count: int) -> Crops:
    """Grey crops of `count` people with all that a network may look at, on its device."""
    like, side = next(network.parameters()), network.resolution
    grey = torch.full((count, 3, side, side), 0.5, device=like.device)
    small = network.candidate_map
    rest = torch.eye(3, device=like.device).repeat(count, 24, 1, 1)
    candidate = Candidate(grey.new_full((count, 3, small, small), 0.5), rest)
    parts = torch.zeros(count, side, side, dtype=torch.long, device=like.device)
    return Crops(grey, grey, parts, candidate if network.needs_candidate else None)


def measure_size(network: Estimator) -> NetworkSize:
    """Sizes of a network, which stays as it was."""
    training = network.training
    network.eval()
    # With gradients: transformers take another way without, which is not counted.
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        network(blank_crops(network, 1))
    network.train(training)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return NetworkSize(counter.get_total_flops() / 2e9, trainable / 1e6, file.tell() / 2**20)
