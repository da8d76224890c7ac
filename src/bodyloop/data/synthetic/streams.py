"""Random numbers by name: every draw is a function of integers, whoever draws it and in whatever order."""

import numpy as np


def stream(*key: int) -> np.random.Generator:
    """A counter-based generator for these integers (all from 0 on); other integers give unrelated numbers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """A number between the two."""
    return float(rng.uniform(*span))


def chance(rng: np.random.Generator, share: float) -> bool:
    """True in this share of the draws."""
    return bool(rng.random() < share)
