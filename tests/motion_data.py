"""Where real motion capture lies, if this machine has it. No test needs it; some are skipped without."""

import os
from pathlib import Path


def shared_data() -> Path | None:
    """The folder that holds ``cmu``: $BODYLOOP_DATA, or ``shared/data`` beside the repository."""
    given = os.environ.get("BODYLOOP_DATA")
    root = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    return root if (root / "cmu").is_dir() else None
