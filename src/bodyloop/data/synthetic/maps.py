"""Dense labels of samples: parts, IUV, PNCC, depth."""

from dataclasses import dataclass

from torch import Tensor

from bodyloop.body import BodyModel
from bodyloop.body.atlas import Atlas, builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.data.synthetic.sample import SyntheticSample
from bodyloop.raster.labels import depth_map, iuv_map, part_map, pncc_map


@dataclass(frozen=True, eq=False)
class SurfaceMaps:
    """What each pixel sees of the person; nothing where something else is in front.

    Attributes:
        parts: (..., H, W) int64, -1 where nothing is seen.
        iuv: (..., H, W, 3) float32, 0 where nothing is seen.
        pncc: (..., H, W, 3) float32 in [0, 1], 0 where nothing is seen.
        depth: (..., H, W) float32 metres of the cloth or skin, 0 where nothing is seen.
    """

    parts: Tensor
    iuv: Tensor
    pncc: Tensor
    depth: Tensor


class SurfaceLabeller:
    """Makes the maps of samples. What depends on the body alone is prepared once."""

    def __init__(self, body: BodyModel, atlas: Atlas | None = None, partition: str = "smpl") -> None:
        """Prepare.

        Args:
            body: the samples' model.
            atlas: of this body; the built-in one, which fits the built-in body alone, if None.
            partition: of the parts, a name of `bodyloop.body.parts`.

        Raises:
            ValueError: if body and atlas differ in their number of faces.
            KeyError: for an unknown partition.
        """
        self.body, self.atlas = body, builtin_atlas() if atlas is None else atlas
        if len(self.atlas.faces) != len(body.faces):
            raise ValueError(
                f"the atlas has {len(self.atlas.faces)} faces, the body {body.name!r} has {len(body.faces)}; "
                "give the body's own atlas"
            )
        self.partition, self._parts = partition, face_parts(body, partition)

    def maps(self, sample: SyntheticSample) -> SurfaceMaps:
        """All maps of a sample or a batch."""
        seen = sample.fragments
        return SurfaceMaps(
            part_map(seen, self._parts), iuv_map(seen, self.atlas), pncc_map(seen, self.body), depth_map(seen)
        )
