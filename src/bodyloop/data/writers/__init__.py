"""Labels of a data set in the formats that others read: a writer for each, some hundred people at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

from bodyloop.body import BodyModel
from bodyloop.data.crowd import Labelled
from bodyloop.data.writers.amass import write_amass
from bodyloop.data.writers.eft import write_eft
from bodyloop.data.writers.human_data import write_human_data
from bodyloop.data.writers.neuralannot import write_neuralannot
from bodyloop.data.writers.parquet import write_parquet
from bodyloop.data.writers.spin import write_spin

Writer = Callable[[Iterator[Labelled], Path, BodyModel], Path]
"""Writes labels into a folder; gets the body model that they are for; returns the file, or the folder of files."""

WRITERS: dict[str, Writer] = {
    "neuralannot": write_neuralannot,
    "eft": write_eft,
    "spin": write_spin,
    "human-data": write_human_data,
    "amass": write_amass,
    "parquet": write_parquet,
}
"""Every writer, by the format's name."""

__all__ = ["WRITERS", "Writer"]
