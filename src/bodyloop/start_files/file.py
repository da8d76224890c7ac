"""`StartFile`: bodies that somebody else found, and which of them are the people of a photo."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.body.skeletons import SMPL24
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, keypoint_boxes, look_at_points, pair_boxes
from bodyloop.saved_results import common_end
from bodyloop.start_files.people import Key, Sight, StartPerson

LEAST_OVERLAP = 0.1
"""Overlap of boxes (intersection over union) below which two people are not the same. A fit stays near its start's
pose, so that a neighbour's would do harm; of somebody whom the picture's edge cuts off little is left to overlap."""

FEWEST_JOINTS = 4
"""Joints in front of the file's camera without which it says nothing of a person's place."""

SMPL = "SMPL"
"""`StartFile.body_name` of files whose bodies are SMPL's own."""


@dataclass(frozen=True, eq=False)
class StartPeople:
    """Starts of N people of a photo.

    Attributes:
        bodies: N people in the axes of the photo's camera, on the body's device; in the T-pose who is not known.
        known: (N,) bool, whom the file knows.
    """

    bodies: Bodies
    known: Tensor


@dataclass(frozen=True, eq=False)
class StartFile:
    """People of a file; each is made when asked for.

    Attributes:
        path: the file or folder.
        what: what it is, for messages.
        keys: by what each of its people is found.
        make: the person of a place in `keys`.
        body_name: whose bodies they are: `SMPL`, or the name of a `BodyModel`.
        one_photo: all are of one photo, which the file does not name.
        skipped: what was left out, one line for each reason.
    """

    path: Path
    what: str
    keys: Sequence[Key]
    make: Callable[[int], StartPerson]
    body_name: str = SMPL
    one_photo: bool = False
    skipped: list[str] = field(default_factory=list)

    def is_of(self, body: BodyModel) -> bool:
        """Whether shapes mean the same for this body. Any body but the built-in one is taken for SMPL's."""
        if self.body_name == SMPL:
            return body.name != builtin_body().name
        return self.body_name == body.name

    @torch.no_grad()
    def for_people(
        self, image: str | Path, evidence: Evidence, camera: Camera, body: BodyModel
    ) -> StartPeople:
        """Starts of a photo's people, as the photo's camera sees them.

        Whose body is whose is told by labels, unless the evidence's are mere numbers; else by the overlap of the
        person's box with that around the projected joints, the largest first.

        The photo's camera may have another focal length than the file's. Where the file says how it sees a person, the
        body is turned as the ray towards it turns, so that the photo's camera sees it from the same side. If shapes
        mean the same for `body`, it then stands where its joints are seen as near as possible to where the file sees
        them. Else it stands where it meets the photo's keypoints best, and the shape is the mean one where the file's
        means something else.

        Args:
            image: the photo's path.
            evidence: its N people.
            camera: the photo's, one for all.
            body: whose bodies to return.

        Raises:
            InputError: if the file knows several images, each of which may be this photo.
        """
        places = self._of_photo(Path(image))
        owners = self._by_labels(evidence, places)
        made = {place: self.make(place) for place in {*places, *owners.values()}}
        seen = {p: _Seen.of(made[p], self.is_of(body), camera, body) for p in sorted(made) if made[p].finite}
        owners = {number: place for number, place in owners.items() if place in seen}
        free = [place for place in seen if place not in owners.values()]
        rest = [number for number in range(len(evidence)) if number not in owners]
        if free and rest:
            boxes = torch.stack([seen[place].box for place in free]).to(evidence.boxes)
            pairs = pair_boxes(boxes, evidence.boxes[rest], LEAST_OVERLAP)
            owners |= {rest[number]: free[which] for which, number in pairs}
        known = torch.tensor([number in owners for number in range(len(evidence))], dtype=torch.bool)
        bodies = Bodies.rest(len(evidence)).to(body.v_template)
        if owners:
            people = [seen[owners[number]] for number in sorted(owners)]
            found = _placed(people, evidence[known], camera, body)
            bodies.rotations[known], bodies.betas[known] = found.rotations, found.betas
            bodies.translation[known] = found.translation
        return StartPeople(bodies, known)

    def _of_photo(self, image: Path) -> list[int]:
        """Places in `keys` of a photo's people: by name, by name without suffix, by number."""
        if self.one_photo:
            return list(range(len(self.keys)))
        for name in (("name", image.name), ("stem", image.stem)):
            if name in self._index:
                return self._nearest(self._index[name], image)
        number = last_number(image.stem)
        return [] if number is None else self._index.get(("number", str(number)), [])

    @cached_property
    def _index(self) -> dict[tuple[str, str], list[int]]:
        index = defaultdict(list)
        for place, key in enumerate(self.keys):
            if key.image is not None:
                name = PurePosixPath(_parts(key.image)[-1])
                index["name", str(name)].append(place)
                index["stem", name.stem].append(place)
            if key.number is not None:
                index["number", str(key.number)].append(place)
        return dict(index)

    def _nearest(self, places: list[int], image: Path) -> list[int]:
        """Those whose image shares most of its path's end with the photo."""
        paths = {place: _parts(self.keys[place].image or "") for place in places}
        shared = {place: common_end(parts, image.parts) for place, parts in paths.items()}
        best = [place for place in places if shared[place] == max(shared.values())]
        several = {paths[place] for place in best}
        if len(several) > 1:
            one, other, *_ = sorted("/".join(parts) for parts in several)
            raise InputError(
                f"{self.path}: both {one} and {other} may be {image}; keep photos in folders of the same names as there"
            )
        return best

    def _by_labels(self, evidence: Evidence, places: list[int]) -> dict[int, int]:
        """Number of a person to place in `keys`, for labels that the photo's people have, or people without image."""
        if evidence.labels == tuple(str(i) for i in range(len(evidence))):
            return {}
        own = {self.keys[place].label: place for place in reversed(places)}
        found = ((i, own.get(name, self._imageless.get(name))) for i, name in enumerate(evidence.labels))
        return {number: place for number, place in found if place is not None}

    @cached_property
    def _imageless(self) -> dict[str, int]:
        """People who are known by their label alone."""
        alone = ((i, key) for i, key in enumerate(self.keys) if key.image is None and key.number is None)
        return {key.label: place for place, key in alone if key.label is not None}


def last_number(stem: str) -> int | None:
    """The number at the end of a file name without suffix: 123 of "frame_000123"."""
    digits = re.search(r"(\d{1,15})$", stem)
    return int(digits[1]) if digits else None


def coco_number(image: str) -> int | None:
    """Number of an image of COCO, which the sets of 2014 and 2017 name differently; None of other images."""
    match = re.fullmatch(r"(?:COCO_\w+_)?(\d{12})", PurePosixPath(_parts(image)[-1]).stem)
    return int(match[1]) if match else None


def _parts(image: str) -> tuple[str, ...]:
    return PurePosixPath(image.replace("\\", "/")).parts or ("",)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A person as the file sees them, in the photo's pixels.

    Attributes:
        rotations, betas: (24, 3, 3) and (10,), of the body that is to be placed.
        sight: of the 24 joints; only near the truth if the shape is not the file's.
        exact: (24,) bool, joints that say where the person is.
        box: (4,), NaN where there is none.
    """

    rotations: Tensor
    betas: Tensor
    sight: Sight
    exact: Tensor
    box: Tensor

    @classmethod
    def of(cls, person: StartPerson, same_shapes: bool, camera: Camera, body: BodyModel) -> "_Seen":
        like = body.v_template
        rotations, betas = person.rotations.to(like), like.new_zeros(10)
        exact = same_shapes and person.betas is not None
        if exact and person.betas is not None:
            betas = person.betas.to(like)
        joints = body.joints(Bodies(rotations, betas, like.new_zeros(3)))
        scale = like.new_tensor([a / b for a, b in zip(camera.size, person.size or camera.size, strict=True)])
        sight = Sight(joints[:, :2] * 0, joints[:, :2] * 0, joints[:, 0] != joints[:, 0])
        if person.projection is not None:
            seen = person.projection(joints)
            ahead = seen.ahead & seen.pixels.isfinite().all(1)
            sight = Sight((seen.pixels + 0.5) * scale - 0.5, seen.rays, ahead)
        if person.box is not None and not (exact and bool(sight.ahead.any())):
            box = ((person.box.to(like).reshape(2, 2) + 0.5) * scale - 0.5).flatten()
        else:
            box = keypoint_boxes(sight.pixels, sight.ahead.to(like))
        edge = like.new_tensor(camera.size).repeat(2) - 0.5
        return cls(rotations, betas, sight, sight.ahead & exact, box.clamp_min(-0.5).minimum(edge))


def _placed(people: list[_Seen], evidence: Evidence, camera: Camera, body: BodyModel) -> Bodies:
    rotations, betas = torch.stack([p.rotations for p in people]), torch.stack([p.betas for p in people])
    pixels, rays = (torch.stack([getattr(p.sight, key) for p in people]) for key in ("pixels", "rays"))
    ahead, exact = torch.stack([p.sight.ahead for p in people]), torch.stack([p.exact for p in people])
    lens = camera.to(pixels)
    by_photo = look_at_points((pixels - lens.center) / lens.focal, ahead)
    by_file = look_at_points(rays, ahead)
    turn = by_photo.turn @ by_file.turn.mT
    rotations = torch.cat([turn[:, None] @ rotations[:, :1], rotations[:, 1:]], 1)
    bodies = Bodies(rotations, betas, torch.zeros_like(betas[:, :3]))
    told = place_in_view(body, bodies, Evidence.from_keypoints(SMPL24, pixels, exact), camera)
    found = place_in_view(body, bodies, evidence, camera)
    enough = exact.sum(1, keepdim=True) >= FEWEST_JOINTS
    return Bodies(rotations, betas, torch.where(enough, told.translation, found.translation))
