"""Networks on disk, whole or with a part that stands beside them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bodyloop.network_files import BESIDE, read_network, save_network


def two_parts(seed: int) -> nn.ModuleDict:
    torch.manual_seed(seed)
    return nn.ModuleDict({"eyes": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "head": nn.Linear(4, 2)})


def test_what_stands_beside_is_left_out_and_found_again(tmp_path: Path):
    network = two_parts(0)
    for value in network.parameters():
        value.data = value.data.half().float()
    eyes = tmp_path / "eyes.safetensors"
    save_network(network["eyes"], eyes, {})
    save_network(network, tmp_path / "whole.safetensors", {"a": "b"})
    save_network(network, tmp_path / "lean.safetensors", {"a": "b"}, beside={"eyes.": eyes})
    found, whole = (read_network(tmp_path / f"{name}.safetensors") for name in ("lean", "whole"))
    assert found[0] == whole[0] == {"a": "b"}
    assert found[1].keys() == whole[1].keys()
    assert all(torch.equal(value, whole[1][name]) for name, value in found[1].items())
    assert (tmp_path / "lean.safetensors").stat().st_size < (tmp_path / "whole.safetensors").stat().st_size


def test_only_what_is_the_same_is_left_out(tmp_path: Path):
    eyes = tmp_path / "eyes.safetensors"
    save_network(two_parts(0)["eyes"], eyes, {})
    with pytest.raises(ValueError, match="is not what"):
        save_network(two_parts(1), tmp_path / "lean.safetensors", {}, beside={"eyes.": eyes})
    assert not (tmp_path / "lean.safetensors").exists()


def test_a_file_beside_that_is_missing_or_another_is_told(tmp_path: Path):
    eyes, lean = tmp_path / "eyes.safetensors", tmp_path / "lean.safetensors"
    save_network(two_parts(0)["eyes"], eyes, {})
    save_network(two_parts(0), lean, {}, beside={"eyes.": eyes})
    save_network(two_parts(1)["eyes"], eyes, {})
    with pytest.raises(ValueError, match=r"eyes\.safetensors"):
        read_network(lean)
    eyes.unlink()
    with pytest.raises(OSError, match="beside it"):
        read_network(lean)


@pytest.mark.parametrize("beside", ["[1]", "3", '{"eyes.": 1}', '{"eyes.": ["a"]}', "not json"])
def test_metadata_that_name_no_files_are_told(tmp_path: Path, beside: str):
    path = tmp_path / "odd.safetensors"
    save_network(two_parts(0), path, {BESIDE: beside})
    with pytest.raises((TypeError, ValueError)):
        read_network(path)
