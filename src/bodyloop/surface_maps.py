"""The maps of surface coordinates and parts that belong to photos: what ``--iuv`` and ``--parts`` name."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bodyloop.errors import InputError
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.iuv import IuvMap, read_iuv
from bodyloop.evidence.part_map import PartMap, read_parts
from bodyloop.evidence.photos import Photo

if TYPE_CHECKING:
    from bodyloop.body import BodyModel
    from bodyloop.body.atlas import Atlas
    from bodyloop.fit import Surface

PartLabels = Literal["densepose", "smpl", "lsp"]

IUV_NAMES = ("{}_IUV.png", "{}_IUV.npz", "{}_iuv.png", "{}_iuv.npz", "{}.npz", "{}.png")
INDICES_NAMES = ("{}_INDS.png", "{}_inds.png")
PART_NAMES = ("{}_parts.png", "{}_segm.png", *IUV_NAMES)
"""Names of a photo's maps in a folder, {} being the photo's name without suffix; the first one that is there."""


@dataclass(frozen=True)
class SurfaceMaps:
    """Where the maps of a job's photos are.

    Attributes:
        iuv, parts: file or folder, None without.
        part_labels: what the labels of `parts` mean.
        atlas: of the body, where `iuv` is given.
    """

    iuv: Path | None = None
    parts: Path | None = None
    part_labels: PartLabels = "densepose"
    atlas: "Atlas | None" = None

    @classmethod
    def open(
        cls,
        iuv: Path | None,
        parts: Path | None,
        part_labels: PartLabels,
        atlas: Path | None,
        body: "BodyModel | None",
        photos: list[Path],
    ) -> "SurfaceMaps":
        """Check what can be checked before any photo is looked at.

        Args:
            iuv, parts, part_labels: as the attributes.
            atlas: DensePose's UV_Processed.mat, or None for the built-in body's.
            body: that will be fitted; None if maps are only read (`read`), which needs no atlas.
            photos: whose maps they are.

        Raises:
            InputError: a map that is not there, one map for several photos, or no atlas for the body.
        """
        for option, path in (("--iuv", iuv), ("--parts", parts)):
            if path is None:
                continue
            if not path.exists():
                raise InputError(
                    f"{option} {path}: expected a map or a folder of maps, got nothing; check the path"
                )
            if path.is_file() and len(photos) > 1:
                raise InputError(
                    f"{option} {path}: expected a folder with a map for each of the {len(photos)} photos, got one "
                    "file; give the folder, or a single photo"
                )
        return cls(iuv, parts, part_labels, None if iuv is None or body is None else _atlas(atlas, body))

    def read(self, photo: Photo) -> tuple[IuvMap | None, PartMap | None]:
        """A photo's IUV map and map of parts, as far as there are any.

        Raises:
            InputError: a map that is missing or cannot be used.
        """
        stem, iuv, parts = photo.path.stem, None, None
        if self.iuv is not None:
            file = _find(self.iuv, stem, IUV_NAMES, "--iuv")
            name = file.stem.removesuffix("_IUV").removesuffix("_iuv")
            indices = [
                path for path in (file.with_name(n.format(name)) for n in INDICES_NAMES) if path.exists()
            ]
            iuv = read_iuv(file, indices[0] if indices else None, photo.size)
        if self.parts is not None:
            parts = read_parts(_find(self.parts, stem, PART_NAMES, "--parts"), self.part_labels, photo.size)
        return iuv, parts

    def of(self, photo: Photo, evidence: Evidence) -> "tuple[list[Surface] | None, list[str]]":
        """What a photo's maps say of its people, and notes; None without maps.

        Raises:
            InputError: a map that is missing or cannot be used.
        """
        if self.iuv is None and self.parts is None:
            return None, []
        from bodyloop.annotate import surfaces_of

        iuv, parts = self.read(photo)
        return surfaces_of(evidence, iuv, parts, self.atlas, seed=zlib.crc32(photo.path.stem.encode()))


def _find(path: Path, stem: str, names: tuple[str, ...], option: str) -> Path:
    if path.is_file():
        return path
    for name in names:
        if (file := path / name.format(stem)).is_file():
            return file
    looked = ", ".join(dict.fromkeys(name.format(stem) for name in names))
    raise InputError(f"{option} {path}: no map of it there; expected one of {looked}")


def _atlas(path: Path | None, body: "BodyModel") -> "Atlas":
    """The atlas of a body: from a file, or the built-in body's own."""
    from bodyloop.body.atlas import builtin_atlas
    from bodyloop.body.densepose import read_densepose_atlas

    atlas = builtin_atlas() if path is None else read_densepose_atlas(path)
    vertices = int(atlas.faces.max()) + 1
    if vertices != len(body.v_template):
        remedy = "give --atlas UV_Processed.mat" if path is None else "give the body it was made for"
        raise InputError(
            f"--iuv: expected an atlas of the body's {len(body.v_template)} vertices, got one of {vertices}; {remedy}"
        )
    return atlas
