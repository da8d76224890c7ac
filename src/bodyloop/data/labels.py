"""`Labels`: which kinds of labels records keep, to measure what each is worth.

Rong, Liu, Li, Cao, Loy, "Delving Deep into Hybrid Annotations for 3D Human Recovery in the Wild", 2019, tables 3,
4 and 6, withholds 3D, sparse 2D or dense labels from all or from a share of the samples; its figures 5 and 6 spoil the
dense ones (`DenseErrors`).
"""

from dataclasses import dataclass, replace
from hashlib import blake2b

from bodyloop.data.record import Record


@dataclass(frozen=True)
class Labels:
    """Shares of the records, 0 to 1, that keep each kind of label.

    Which ones is a function of the record's data set and id alone: the same in every epoch and process, and those of a
    smaller share are among those of a larger one.

    Attributes:
        keypoints: 2D keypoints.
        dense: dense keypoints.
        parts: part maps and silhouettes.
        iuv: IUV maps.
        three_d: 3D joints and SMPL parameters, together.
        seed: of the choice.
    """

    keypoints: float = 1.0
    dense: float = 1.0
    parts: float = 1.0
    iuv: float = 1.0
    three_d: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = self.keypoints, self.dense, self.parts, self.iuv, self.three_d
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"shares of labels are 0 to 1, got {shares}")

    def __call__(self, record: Record) -> Record:
        """The record without the labels that it does not keep. Its box, camera and gender stay."""
        three_d = self.keeps("three_d", record)
        return replace(
            record,
            keypoints=record.keypoints if self.keeps("keypoints", record) else None,
            dense=record.dense if self.keeps("dense", record) else None,
            parts=record.parts if self.keeps("parts", record) else None,
            iuv=record.iuv if self.keeps("iuv", record) else None,
            joints=record.joints if three_d else None,
            body=record.body if three_d else None,
        )

    def keeps(self, kind: str, record: Record) -> bool:
        """Whether a record keeps a kind of label, a field of this class."""
        share: float = getattr(self, kind)
        text = f"{self.seed}\n{kind}\n{record.dataset}\n{record.id}"
        number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        return number < share * 2**64


@dataclass(frozen=True)
class DenseErrors:
    """How dense keypoints are spoilt, to measure how good they have to be.

    What happens to a person's points is a function of the seed and the person's number in the data set: the same in
    every epoch and process. Points of a smaller share are among those of a larger one.

    Attributes:
        sigma: standard deviation of Gaussian noise on U and V, on their scale of 0 to 255 (Rong et al., figure 5).
        share: of each person's points that stay (figure 6).
        seed: of the noise and the choice.
    """

    sigma: float = 0.0
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < float("inf") or not 0 <= self.share <= 1:
            raise ValueError(
                f"dense errors need a finite sigma from 0 and a share from 0 to 1, got {self.sigma:g}, {self.share:g}"
            )


NO_ERRORS = DenseErrors()
