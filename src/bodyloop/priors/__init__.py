"""Pose priors, one file each, with their weights."""
