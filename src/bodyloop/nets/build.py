"""Regression networks from their configurations, and on disk."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from bodyloop.errors import InputError
from bodyloop.nets.backbones import load_backbone
from bodyloop.nets.estimator import Estimator
from bodyloop.nets.hmr import Hmr, HmrConfig
from bodyloop.nets.mrt import Mrt, MrtConfig
from bodyloop.nets.multistage import Multistage, MultistageConfig
from bodyloop.nets.pose2pose import Pose2Pose, Pose2PoseConfig
from bodyloop.nets.two_branch import TwoBranch, TwoBranchConfig
from bodyloop.network_files import read_network, save_network

Config = HmrConfig | TwoBranchConfig | MultistageConfig | Pose2PoseConfig | MrtConfig

NETWORKS: dict[str, tuple[type[Config], Callable[[Any], Estimator]]] = {
    "hmr": (HmrConfig, Hmr),
    "two_branch": (TwoBranchConfig, TwoBranch),
    "multistage": (MultistageConfig, Multistage),
    "mrt": (MrtConfig, Mrt),
    "pose2pose": (Pose2PoseConfig, Pose2Pose),
}
"""Name of each network: its configuration and its class."""


def build(config: Config, seed: int = 0, backbones: dict[str, str | Path] | None = None) -> Estimator:
    """A network, in training mode.

    Args:
        config: which network, and its sizes.
        seed: of the random weights; torch's own generator stays as it was.
        backbones: trained weights for some of `Estimator.backbones`: role ("image", "iuv", "parts") to a file, or
            to "hub" to download what the backbone's makers published (`load_backbone`). Nothing is downloaded
            otherwise.

    Raises:
        InputError: if backbone weights are of another network or cannot be had, or there is no such role.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name_of(config)][1](config)
    roles = network.backbones()
    for role, source in (backbones or {}).items():
        if role not in roles:
            raise InputError(f"this network has no backbone for {role!r}; it has {', '.join(roles)}")
        name, backbone = roles[role]
        load_backbone(backbone, name, source, role)
    return network


def name_of(config: Config) -> str:
    """Key in `NETWORKS`."""
    return next(name for name, (kind, _) in NETWORKS.items() if type(config) is kind)


def save_estimator(
    network: Estimator,
    path: str | Path,
    precision: torch.dtype = torch.float32,
    beside: Mapping[str, Path] | None = None,
) -> None:
    """Write weights, with the configuration in the metadata (safetensors).

    Args:
        network: on any device.
        path: the file.
        precision: of the weights.
        beside: what is left out, as of `bodyloop.network_files.save_network`.

    Raises:
        InputError: if the file cannot be written.
    """
    text = {"network": name_of(network.config), "config": json.dumps(asdict(network.config))}
    save_network(network, path, text, precision, beside)


def load_estimator(path: str | Path) -> Estimator:
    """The network that `save_estimator` wrote, ready for use: in evaluation mode.

    Raises:
        InputError: if the file is missing, or not such a file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a network that bodyloop trained (safetensors)")
    try:
        metadata, state = read_network(path)
        network = build(read_config(metadata["network"], metadata["config"]))
        network.load_state_dict(state)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a regression network of bodyloop ({error})") from None
    return network.eval()


def read_config(name: str, text: str) -> Config:
    """A configuration from the name of its network and JSON.

    Raises:
        InputError: for unknown names, and for values of another type than the defaults'.
    """
    if name not in NETWORKS:
        raise InputError(f"no network is called {name!r}; expected {', '.join(NETWORKS)}")
    kind = NETWORKS[name][0]
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the configuration of {name} is not JSON ({error})") from None
    defaults = {f.name: f.default for f in fields(kind)}
    if not isinstance(values, dict) or set(values) - set(defaults):
        raise InputError(f"the configuration of {name} should have {', '.join(defaults)}, got {text[:200]}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for key, value in values.items():
        kinds = (int, float) if isinstance(defaults[key], float) else (type(defaults[key]),)
        if type(value) not in kinds:
            raise InputError(f"{key} of {name} should be like {defaults[key]!r}, got {value!r}")
    return kind(**values)
