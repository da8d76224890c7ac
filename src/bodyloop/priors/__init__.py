"""Pose priors, one file each, with their weights."""

from bodyloop.priors.shipped import load_prior

__all__ = ["load_prior"]
