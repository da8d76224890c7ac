"""Starts of fits from files: bodies that bodyloop or somebody else's regressor found before."""

from bodyloop.start_files.file import StartFile, StartPeople
from bodyloop.start_files.registry import read_starts

__all__ = ["StartFile", "StartPeople", "read_starts"]
