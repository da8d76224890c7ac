"""Data set formats: a reader for each, all giving the same records."""

from bodyloop.data.formats.format import Content, DatasetSpec, Format
from bodyloop.data.formats.registry import FORMATS, find_format, open_dataset

__all__ = ["FORMATS", "Content", "DatasetSpec", "Format", "find_format", "open_dataset"]
