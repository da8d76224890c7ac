"""Kinds of options that several commands have."""

from pathlib import Path
from typing import Annotated

import tyro

File = tyro.conf.arg(metavar="FILE", help_behavior_hint="")
Folder = tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")
MapFile = tyro.conf.arg(metavar="FILE|FOLDER", help_behavior_hint="")
Mocap = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
Cache = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
