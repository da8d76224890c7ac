import sys

import numpy as np
import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.nets.build import build
from bodyloop.nets.onnx import export_onnx, output_names
from made_up_crops import TINY, random_crops


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hmr", "image and parts", "latent stages"])
def test_onnx_says_what_torch_says(name: str, tmp_path):
    """For another number of people than it was written with."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    network, crops = build(TINY[name]), random_crops(3)
    export_onnx(network, tmp_path / "n.onnx")
    assert network.training, "the network stays as it was"
    session = runtime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    names = output_names(network)
    found = dict(
        zip(names, session.run(names, {k: getattr(crops, k).numpy() for k in network.inputs}), strict=True)
    )
    with torch.no_grad():
        estimate = network.eval()(crops)
    np.testing.assert_allclose(found["rotations"], estimate.rotations, atol=1e-5)
    np.testing.assert_allclose(found["betas"], estimate.betas, atol=1e-5)
    if "keypoints" in names:
        np.testing.assert_allclose(found["keypoints"], estimate.seen.keypoints, atol=1e-4)
        np.testing.assert_allclose(found["confidence"], estimate.seen.confidence, atol=1e-4)
    else:
        np.testing.assert_allclose(found["scale"], estimate.camera.scale, atol=1e-5)
        np.testing.assert_allclose(found["shift"], estimate.camera.shift, atol=1e-5)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"bodyloop\[onnx\]"):
        export_onnx(build(TINY["hmr"]), tmp_path / "n.onnx")
