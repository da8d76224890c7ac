from importlib import resources
from pathlib import Path

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.priors import load_prior
from bodyloop.priors.flow import Flow
from bodyloop.priors.gmm import GaussianMixture, default_mixture
from bodyloop.priors.shipped import HOMES


def test_every_name_loads_or_says_that_its_weights_do_not_ship():
    for name in HOMES:
        file = resources.files("bodyloop.priors").joinpath(f"weights/{name.replace('-', '_')}.safetensors")
        if file.is_file():
            load_prior(name)
        else:
            with pytest.raises(InputError, match=f"'{name}' do not ship"):
                load_prior(name)


def test_the_shipped_mixture():
    found = load_prior("gmm")
    assert isinstance(found, GaussianMixture)
    assert torch.equal(found.means, default_mixture().means)


def test_weights_of_ones_own(tmp_path: Path):
    Flow("axis_angle", steps=1).save(tmp_path / "own.safetensors")
    found = load_prior("flow-aa", tmp_path / "own.safetensors")
    assert isinstance(found, Flow)
    assert found.representation == "axis_angle"


def test_what_cannot_be_loaded(tmp_path: Path):
    with pytest.raises(InputError, match=r"no prior is called 'gnn' yet; expected one of gmm, flow"):
        load_prior("gnn")
    with pytest.raises(InputError, match="no such file"):
        load_prior("gmm", tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    default_mixture().save(tmp_path / "gmm.safetensors")
    Flow("axis_angle", steps=1).save(tmp_path / "flow.safetensors")
    for kind, file in (("gmm", "text"), ("flow", "text"), ("flow", "gmm"), ("gmm", "flow")):
        with pytest.raises(InputError, match=f"not weights of a prior of kind '{kind}'"):
            load_prior(kind, tmp_path / f"{file}.safetensors")
