"""`Hypotheses`: what a fit found from each of its starts, for those who want to see more than the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """M bodies of N people, several of each.

    Attributes:
        bodies: (M,) in camera axes.
        person: (M,) int64, 0 to N - 1, whose body it is.
        energy: (M,) by which those of one person compare: the lowest was chosen.
        start: M names of where they are from.
    """

    bodies: Bodies
    person: Tensor
    energy: Tensor
    start: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.start)
        shapes = tuple(self.bodies.batch_shape), tuple(self.person.shape), tuple(self.energy.shape)
        if shapes != ((count,),) * 3:
            raise ValueError(f"{count} Hypotheses need as many bodies, people and energies, got {shapes}")

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def cat(cls, parts: "Sequence[Hypotheses]") -> "Hypotheses":
        """Those of the same people, one after the other.

        Raises:
            ValueError: for none at all.
        """
        if not parts:
            raise ValueError("Hypotheses.cat needs at least one")
        return cls(
            Bodies.cat([part.bodies for part in parts]),
            torch.cat([part.person for part in parts]),
            torch.cat([part.energy for part in parts]),
            tuple(name for part in parts for name in part.start),
        )

    def of_people(self, numbers: Sequence[int]) -> "Hypotheses":
        """Those of some people, who become 0, 1 ..."""
        found = [
            (row, new)
            for new, old in enumerate(numbers)
            for row in (self.person == old).nonzero()[:, 0].tolist()
        ]
        rows = torch.tensor([row for row, _ in found], dtype=torch.int64, device=self.person.device)
        person = torch.tensor([new for _, new in found], dtype=torch.int64, device=self.person.device)
        return Hypotheses(
            self.bodies[rows], person, self.energy[rows], tuple(self.start[row] for row, _ in found)
        )

    def of_later(self, people: int) -> "Hypotheses":
        """The same where that many other people come first."""
        return Hypotheses(self.bodies, self.person + people, self.energy, self.start)

    def to(self, device: torch.device | str) -> "Hypotheses":
        """The same on another device."""
        return Hypotheses(self.bodies.to(device), self.person.to(device), self.energy.to(device), self.start)

    def arrays(self) -> dict[str, np.ndarray]:
        """For a result file: tried_pose (M, 72), tried_betas (M, 10), tried_trans (M, 3), tried_person (M,),
        tried_energy (M,), tried_start (M,).
        """
        values = {
            "tried_pose": self.bodies.pose,
            "tried_betas": self.bodies.betas,
            "tried_trans": self.bodies.translation,
            "tried_person": self.person,
            "tried_energy": self.energy,
        }
        arrays = {name: value.detach().cpu().numpy() for name, value in values.items()}
        return arrays | {"tried_start": np.array(self.start, np.str_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], people: int) -> "Hypotheses | None":
        """Inverse of `arrays`; None if there are none among them.

        Args:
            arrays: of a result file.
            people: how many people the file holds.

        Raises:
            ValueError: if they do not go together, or speak of other people.
        """
        if "tried_pose" not in arrays:
            return None
        try:
            pose, betas, trans, person, energy = (
                torch.as_tensor(arrays[f"tried_{name}"])
                for name in ("pose", "betas", "trans", "person", "energy")
            )
            start = tuple(map(str, arrays["tried_start"].tolist()))
            found = cls(Bodies.from_smpl(pose, betas, trans), person.long(), energy, start)
        except (KeyError, TypeError, IndexError, RuntimeError) as error:
            raise ValueError(f"what was tried is damaged ({error})") from None
        if bool(((found.person < 0) | (found.person >= people)).any()):
            raise ValueError(f"what was tried speaks of people other than 0 to {people - 1}")
        return found
