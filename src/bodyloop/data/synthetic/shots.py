"""What a sample shows: who, where, seen from where. Drawn by lot; nothing is on canvas yet."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.splits import SplitName
from bodyloop.data.synthetic.domains import Domain
from bodyloop.data.synthetic.looks import Look, Tailor, draw_look, record
from bodyloop.data.synthetic.people import PoseSource, draw_betas, turned
from bodyloop.data.synthetic.scenes import Photos, Scene, Stand, draw_scene, studio_room
from bodyloop.data.synthetic.streams import chance, stream, uniform
from bodyloop.data.synthetic.views import Pose, bounds, crop, free_pose, studio_pose
from bodyloop.geometry import Camera

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
"""In the order of their numbers in the random streams."""
STUDIO_ROOMS = 2
STUDIO_WIDTH, STUDIO_HEIGHT = 10.0, 3.6  # metres


@dataclass(frozen=True, eq=False)
class Figure:
    """A clothed person in the world.

    Attributes:
        bodies: the parameters, in world axes.
        vertices: (V, 3) float32 of cloth, hair and bare skin.
        normals: (V, 3) float32.
        look: the outfit.
    """

    bodies: Bodies
    vertices: np.ndarray
    normals: np.ndarray
    look: Look

    def moved(self, shift: np.ndarray) -> "Figure":
        """The figure elsewhere; metres."""
        there = self.bodies.translation + torch.from_numpy(shift).float()
        return replace(
            self,
            bodies=Bodies(self.bodies.rotations, self.bodies.betas, there),
            vertices=self.vertices + shift.astype(np.float32),
        )

    @property
    def middle(self) -> np.ndarray:
        """Middle of the box (3,)."""
        low, high = bounds(self.vertices)
        return np.asarray(low + high) / 2


@dataclass(frozen=True, eq=False)
class Shot:
    """Everything that is drawn by lot before anything is drawn on canvas; people[0] is the one with labels."""

    people: tuple[Figure, ...]
    scene: Scene
    pose: Pose
    camera: Camera
    subject: int
    sequence: int


class Stage:
    """Makes shots, each a function of domain, split, seed, index and what it is made of."""

    def __init__(
        self,
        domain: Domain,
        poses: PoseSource,
        body: BodyModel,
        seed: int,
        split: SplitName,
        size: int,
        photos: Photos | None = None,
    ) -> None:
        """See `SyntheticPeople`."""
        self.domain, self.poses, self.body, self.size, self.photos = domain, poses, body, size, photos
        self.tailor = Tailor.measure(body)
        self._key = (seed, domain.number, SPLITS.index(split))

    def shot(self, index: int) -> tuple[Shot, np.random.Generator]:
        """The shot of this number, and the generator for what comes after it."""
        rng = stream(*self._key, 0, index)
        if self.domain.subjects:
            return self._studio_shot(rng), rng
        if self.domain.sequences:
            return self._sequence_shot(rng), rng
        return self._free_shot(rng), rng

    def _studio_shot(self, rng: np.random.Generator) -> Shot:
        """A subject somewhere in a room."""
        subject, room = int(rng.integers(self.domain.subjects)), int(rng.integers(STUDIO_ROOMS))
        who = stream(*self._key, 1, subject)
        betas, look = draw_betas(who, self.domain.shape_sd), draw_look(who, self.domain, self.tailor.place)
        figure = self._figure(rng, self.poses.draw(rng), betas, look)
        figure = figure.moved(np.array([*rng.uniform(-1.0, 1.0, 2), 0.0])[[0, 2, 1]])
        scene = studio_room(stream(*self._key, 2, room), STUDIO_WIDTH, STUDIO_HEIGHT)
        pose = studio_pose(rng, self.domain)
        camera = crop(rng, self.domain, pose.seen(figure.vertices), self.size)
        return Shot((figure,), scene, pose, camera, subject, -1)

    def _sequence_shot(self, rng: np.random.Generator) -> Shot:
        """A moment of a sequence: the camera drifts, the person moves about."""
        number, moment = int(rng.integers(self.domain.sequences)), float(rng.random())
        what = stream(*self._key, 3, number)
        betas, look = draw_betas(what, self.domain.shape_sd), draw_look(what, self.domain, self.tailor.place)
        rotations = turned(self.poses.frame(stream(*self._key, 4, number), moment), uniform(what, (0, 6.28)))
        phase = 2 * math.pi * moment
        figure = self._clothed(rotations, betas, look)
        figure = figure.moved(np.array([0.5 * math.sin(phase), 0.0, 0.5 * math.sin(2 * phase)]))
        start = free_pose(what, self.domain, np.array([0.0, 0.95, 0.0]), True)
        stand = Stand(tuple(start.eye), (0.0, 0.95, 0.0))
        scene = draw_scene(what, self.domain, stand, self.size, self.photos)
        drift = 0.35 * np.sin(phase * np.array([1.0, 2.0, 1.0]) + np.array([0.0, 1.0, 2.0]))
        pose = Pose(start.eye + drift * np.array([1.0, 0.2, 1.0]), start.turn)
        camera = crop(rng, self.domain, pose.seen(figure.vertices), self.size)
        return self._with_others(rng, Shot((figure,), scene, pose, camera, -1, number))

    def _free_shot(self, rng: np.random.Generator) -> Shot:
        """Anybody anywhere."""
        betas, look = draw_betas(rng, self.domain.shape_sd), draw_look(rng, self.domain, self.tailor.place)
        figure = self._figure(rng, self.poses.draw(rng), betas, look)
        middle = figure.middle
        pose = free_pose(rng, self.domain, middle, True)
        stand = Stand(tuple(pose.eye), tuple(middle))
        scene = draw_scene(rng, self.domain, stand, self.size, self.photos)
        if not scene.ground.there:
            pose = free_pose(rng, self.domain, middle, False)
        camera = crop(rng, self.domain, pose.seen(figure.vertices), self.size)
        return self._with_others(rng, Shot((figure,), scene, pose, camera, -1, -1))

    def _with_others(self, rng: np.random.Generator, shot: Shot) -> Shot:
        """The shot with another person beside, behind or a little in front, in the domain's share of images."""
        if not chance(rng, self.domain.company):
            return shot
        look = draw_look(rng, self.domain, self.tailor.place)
        other = self._figure(rng, self.poses.draw(rng), draw_betas(rng, self.domain.shape_sd), look)
        flat = shot.pose.turn[:, [0, 2]].copy()
        flat[1] = 0.0
        flat /= np.maximum(np.linalg.norm(flat, axis=0), 1e-6)
        aside = uniform(rng, (0.5, 1.3)) * (1 if chance(rng, 0.5) else -1)
        there = shot.people[0].middle + flat[:, 0] * aside + flat[:, 1] * uniform(rng, (-0.5, 2.0))
        other = other.moved(there * np.array([1.0, 0.0, 1.0]))
        if shot.pose.seen(other.vertices)[:, 2].min() < 0.6:
            return shot
        return replace(shot, people=(*shot.people, other))

    def _figure(
        self, rng: np.random.Generator, rotations: torch.Tensor, betas: torch.Tensor, look: Look
    ) -> Figure:
        """Somebody with any heading at the origin of the ground."""
        return self._clothed(turned(rotations, uniform(rng, (-math.pi, math.pi))), betas, look)

    def _clothed(self, rotations: torch.Tensor, betas: torch.Tensor, look: Look) -> Figure:
        """Pose the body, dress it, and stand it on the ground over the origin."""
        from bodyloop.data.synthetic import kernels

        at_origin = Bodies(rotations, betas, torch.zeros(3))
        with torch.no_grad():
            skin = self.body.vertices(at_origin).float().numpy()
        normals, vertices = np.empty_like(skin), np.empty_like(skin)
        t, outfit = self.tailor, record(look)
        kernels.vertex_normals(skin, t.faces, normals)
        kernels.clothe(t.rest, t.fill, skin, normals, outfit, t.record, vertices)
        kernels.vertex_normals(vertices, t.faces, normals)
        low, high = bounds(vertices)
        shift = -np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2], np.float64)
        return Figure(at_origin, vertices, normals, look).moved(shift)
