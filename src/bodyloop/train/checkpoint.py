"""The state of a training run on disk, so that a killed run goes on where it was."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bodyloop.errors import InputError

Report = Callable[[str], None]
"""Called with a line of progress now and then."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds a run's state.

    Attributes:
        path: of the file; None keeps nothing.
        config: a dataclass, what the run depends on. A state of another configuration is refused.
    """

    path: Path | None
    config: Any

    def restore(self, parts: dict[str, Any], generator: torch.Generator) -> int:
        """Put the stored state into the parts; returns the step to go on from, 0 without a state.

        Args:
            parts: name to module, optimiser or schedule: whatever has state_dict and load_state_dict.
            generator: of the run's draws; torch's own is restored too.

        Raises:
            InputError: if the stored state belongs to another configuration or cannot be read.
        """
        if self.path is None or not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
            config, step = state["config"], int(state["step"])
        except Exception as error:
            raise InputError(
                f"{self.path} is not a training state ({type(error).__name__}); delete it to start anew"
            ) from error
        if config != repr(asdict(self.config)):
            raise InputError(
                f"{self.path} is the state of a run with other settings; delete it, or train to another file"
            )
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        return step

    def keep(self, parts: dict[str, Any], generator: torch.Generator, step: int) -> None:
        """Write the state after `step` steps; a kill while writing leaves the state before."""
        if self.path is None:
            return
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {
            "config": repr(asdict(self.config)),
            "generator": generator.get_state(),
            "torch": torch.get_rng_state(),
            "step": step,
        }
        partial = self.path.with_name(self.path.name + ".tmp")
        torch.save(state, partial)
        partial.replace(self.path)

    def done(self) -> None:
        """The run has ended: its state is no longer needed."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
