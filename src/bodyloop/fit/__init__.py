"""Fitting: solvers, staged fitting, starts."""

from bodyloop.fit.fitter import FitConfig, Fits, Fitter, Start
from bodyloop.fit.hypotheses import Hypotheses
from bodyloop.fit.problem import MATCHED, TUNED, EnergyWeights, FitProblem
from bodyloop.fit.schedule import Stage
from bodyloop.fit.solve import Solution, solve
from bodyloop.fit.starts import mean_pose_starts
from bodyloop.fit.surface import Surface

__all__ = [
    "MATCHED",
    "TUNED",
    "EnergyWeights",
    "FitConfig",
    "FitProblem",
    "Fits",
    "Fitter",
    "Hypotheses",
    "Solution",
    "Stage",
    "Start",
    "Surface",
    "mean_pose_starts",
    "solve",
]
