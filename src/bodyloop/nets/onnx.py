"""Networks as ONNX files, for whoever runs them without torch."""

import logging
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from bodyloop.errors import InputError
from bodyloop.nets.estimator import Candidate, Crops, Estimator
from bodyloop.nets.multistage import Multistage, StagedEstimate
from bodyloop.writing import write_atomic


class _Tensors(nn.Module):
    """An estimator with tensors for arguments and results."""

    def __init__(self, network: Estimator) -> None:
        super().__init__()
        self.network = network

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(input_names(self.network), maps, strict=True))
        candidate = Candidate(given["pncc"], given["rotations"]) if self.network.needs_candidate else None
        crops = Crops(given.get("image"), given.get("iuv"), given.get("parts"), candidate)
        estimate = self.network(crops)
        if isinstance(estimate, StagedEstimate):
            place = estimate.seen.keypoints, estimate.seen.confidence
        else:
            place = estimate.camera.scale, estimate.camera.shift
        return estimate.rotations, estimate.betas, *place


def input_names(network: Estimator) -> tuple[str, ...]:
    """Names of the inputs in the ONNX file; shapes as in `Crops`, and "pncc" and "rotations" as in `Candidate`."""
    return (*network.inputs, *(("pncc", "rotations") if network.needs_candidate else ()))


def output_names(network: Estimator) -> tuple[str, ...]:
    """Names of the results in the ONNX file; shapes as in `Estimate` and `Seen`."""
    place = ("keypoints", "confidence") if isinstance(network, Multistage) else ("scale", "shift")
    return "rotations", "betas", *place


def export_onnx(network: Estimator, path: str | Path) -> None:
    """Write a network, as it is in evaluation mode, with a free batch size.

    Inputs are named as in `input_names`, of the network's resolution; results as in `output_names`.

    Raises:
        InputError: if the packages that write ONNX are missing, or the file cannot be written.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"writing ONNX needs the package onnxscript, which does not load ({error}); pip install "
            "'bodyloop[onnx]'"
        ) from None
    training = network.training
    network.eval()
    try:
        write_atomic(path, _exported(network))
    finally:
        network.train(training)


def _exported(network: Estimator) -> bytes:
    """The file's content."""
    like, side = next(network.parameters()), network.resolution
    maps = tuple(
        torch.zeros(2, side, side, dtype=torch.long, device=like.device)
        if kind == "parts"
        else torch.zeros(2, 3, side, side, device=like.device)
        for kind in network.inputs
    )
    if network.needs_candidate:
        small = network.candidate_map
        maps += (torch.zeros(2, 3, small, small).to(like), torch.eye(3).repeat(2, 24, 1, 1).to(like))
    wrapped = _Tensors(network)
    free = {0: torch.export.Dim("batch")}
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of operators of other packages
    try:
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            wrapped(*maps)  # the prior keeps what it has computed, for the export to take
            file = Path(folder) / "network.onnx"
            torch.onnx.export(
                wrapped,
                maps,
                file,
                input_names=list(input_names(network)),
                output_names=list(output_names(network)),
                dynamic_shapes={"maps": tuple(free for _ in maps)},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            return file.read_bytes()
    finally:
        log.setLevel(level)
