"""Terms of energies and losses: pure functions of bodies, cameras and evidence."""

from bodyloop.terms.dense import dense_distance
from bodyloop.terms.parts import PartTargets, part_alignment

__all__ = ["PartTargets", "dense_distance", "part_alignment"]
