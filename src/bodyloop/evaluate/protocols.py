"""Evaluation protocols: which people, which joints, which alignment, which measures, and after whom.

All data here need a licence of their own, so that the protocols are tested on small made-up people. What was not found
in a paper or in the published code of one is listed under `Protocol.unverified`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from bodyloop.body.skeletons import H36M17, MPI17, SMPL24, Skeleton

J14 = (
    "right_ankle", "right_knee", "right_hip_extra", "left_hip_extra", "left_knee", "left_ankle", "right_wrist",
    "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck_extra", "head_extra",
)  # fmt: skip
"""The 14 joints of LSP as the Human3.6M regressor gives them (SPIN ``constants.py``, H36M_TO_J14): the top of the head
is Human3.6M's."""

J17 = (*J14, "pelvis_extra", "spine_extra", "jaw_extra")
"""SPIN's 17 joints of MPI-INF-3DHP (``constants.py``, J24_TO_J17)."""

ROOT = "pelvis_extra"
"""The regressed pelvis, which found and true joints are aligned at (SPIN ``eval.py``)."""


@dataclass(frozen=True)
class Protocol:
    """How a data set is evaluated.

    Attributes:
        name: key in `PROTOCOLS`.
        title: for tables.
        people: which people count, in words.
        metrics: keys of `bodyloop.evaluate.scores.METRICS`.
        skeleton: keypoints that are regressed from the mesh, or None where no joints are compared.
        joints: names of those that MPJPE is over; without root and means of others, the papers' count.
        pck_joints: names of those that PCK and AUC are over.
        root: the joint at which found and true are aligned.
        crop: side of the square that a person's box is scaled to before distances in pixels are taken, or None.
        keeps: whether an image's path, as SPIN's or Moon's files have it, is of the protocol.
        sources: what the above was read from.
        unverified: what is not known for sure, a sentence each.
    """

    name: str
    title: str
    people: str
    metrics: tuple[str, ...]
    skeleton: Skeleton | None = None
    joints: tuple[str, ...] = ()
    pck_joints: tuple[str, ...] = ()
    root: str = ROOT
    crop: int | None = None
    keeps: Callable[[str], bool] = lambda image: True
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()


_H36M_IMAGES = (
    re.compile(r"S(?P<subject>\d+)_(?P<action>.+)\.(?P<camera>\d{8})_(?P<frame>\d+)\.\w+$"),
    re.compile(r"s_(?P<subject>\d+)_act_(?P<action>\d+)_subact_\d+_ca_(?P<camera>\d+)_(?P<frame>\d+)\.\w+$"),
)
"""Names of images in SPIN's files and in Moon's."""
H36M_SUBJECTS = (9, 11)
H36M_FRONTAL = "60457274"
"""The camera of protocol 2; Moon's files call it 4."""


def _keeps_h36m(image: str, camera: str | None = None) -> bool:
    found = next(filter(None, (pattern.search(image) for pattern in _H36M_IMAGES)), None)
    return (
        found is not None
        and int(found["subject"]) in H36M_SUBJECTS
        and not found["action"].startswith("_ALL")
        and int(found["frame"]) % 5 == 1  # every fifth, counted from 1
        and (camera is None or found["camera"] in (camera, "04"))
    )


def _keeps_3dhp(image: str) -> bool:
    return re.search(r"(^|/)TS[1-6]/", image) is not None


def _keeps_mupots(image: str) -> bool:
    return re.search(r"(^|/)TS([1-9]|1\d|20)/", image) is not None


def _keeps_lsp(image: str) -> bool:
    found = re.search(r"im(\d{4})\.\w+$", image)
    return found is not None and 1001 <= int(found[1]) <= 2000


_POSE = ("mpjpe_mm", "pa_mpjpe_mm")
_AXES = ("pa_x_mm", "pa_y_mm", "pa_z_mm")
_SPIN = "Kolotouros et al., SPIN, 2019"
_RONG = "Rong et al., Hybrid Annotations, 2019"
_H36M_SOURCES = (
    f"{_SPIN}, section 4.1 and table 3 (reconstruction error is PA-MPJPE); its eval.py and datasets/preprocess/h36m.py",
    "Liu et al., MION, 2021, section 4.1",
    "Moon and Lee, I2L-MeshNet, 2020, its data/Human36M/Human36M.py (camera 4 is the frontal one)",
)
_MPI_UNVERIFIED = (
    "The 14 joints of PCK and AUC and the thresholds 0, 5, ..., 150 mm are those of copies of the test set's MATLAB "
    "scripts; a version that also scores pelvis, spine and head circulates, and papers seldom say which they used."
)
_MUPOTS_SOURCES = (
    "Mehta et al., Single-Shot Multi-Person 3D Pose Estimation, 2018, and copies of its mpii_mupots_multiperson_eval.m",
    "Moon et al., Three Recipes, 2023, section 3.1 and table 5",
)
_MUPOTS_UNVERIFIED = (
    _MPI_UNVERIFIED,
    "Found bones are given the true bones' lengths first, as in the script; Moon et al. do not say whether they did.",
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "h36m-p1",
            "Human3.6M, protocol 1",
            "subjects S9 and S11, all four cameras, every fifth frame",
            (*_POSE, *_AXES),
            H36M17,
            J14,
            keeps=_keeps_h36m,
            sources=_H36M_SOURCES,
        ),
        Protocol(
            "h36m-p2",
            "Human3.6M, protocol 2",
            f"subjects S9 and S11, the frontal camera {H36M_FRONTAL} alone, every fifth frame",
            (*_POSE, *_AXES),
            H36M17,
            J14,
            keeps=lambda image: _keeps_h36m(image, H36M_FRONTAL),
            sources=_H36M_SOURCES,
        ),
        Protocol(
            "3dpw",
            "3DPW, test set",
            "sequences of the test set, frames whose camera pose is valid; joints regressed from the true meshes of "
            "each person's own gender",
            (*_POSE, *_AXES, "pve_mm", "pa_pve_mm"),
            H36M17,
            J14,
            sources=(
                f"{_SPIN}, section 4.1 and table 1; its eval.py",
                "Zanfir et al., Weakly Supervised 3D Human Pose and Shape with Normalizing Flows, 2020, table 3",
                "Moon et al., Three Recipes, 2023, table 3 (errors along x, y, z)",
                f"{_RONG}, table 5 (PVE)",
            ),
            unverified=(
                "PVE aligns the regressed pelvis; the papers do not say what they align.",
                "Papers count 35,515 people; the number follows from the files used.",
            ),
        ),
        Protocol(
            "mpi-inf-3dhp",
            "MPI-INF-3DHP, test set",
            "valid frames of TS1 to TS6; the truth is univ_annot3, scaled to one height",
            (*_POSE, "pck", "auc", "pa_pck", "pa_auc"),
            H36M17,
            J17,
            J14,
            keeps=_keeps_3dhp,
            sources=(
                f"{_SPIN}, section 4.1 and table 4; its eval.py and datasets/preprocess/mpi_inf_3dhp.py",
                "Mehta et al., Monocular 3D Human Pose Estimation In The Wild, 2017, section 6",
            ),
            unverified=(
                _MPI_UNVERIFIED,
                "The aligned PCK and AUC use the similarity of all 17 joints; SPIN's code has no PCK.",
            ),
        ),
        Protocol(
            "mupots-all",
            "MuPoTS, all annotations",
            "annotated people of TS1 to TS20; one whom nobody found misses every joint",
            ("pck", "pck_abs", "auc"),
            MPI17,
            J17,
            J14,
            keeps=_keeps_mupots,
            sources=_MUPOTS_SOURCES,
            unverified=_MUPOTS_UNVERIFIED,
        ),
        Protocol(
            "mupots-matched",
            "MuPoTS, matched annotations",
            "annotated people of TS1 to TS20 whom somebody found",
            ("pck", "pck_abs", "auc", "pa_mpjpe_mm"),
            MPI17,
            J17,
            J14,
            keeps=_keeps_mupots,
            sources=(*_MUPOTS_SOURCES, "Moon et al., Three Recipes, 2023, tables 2, 6 and 7 (PA-MPJPE)"),
            unverified=_MUPOTS_UNVERIFIED,
        ),
        Protocol(
            "lsp-segmentation",
            "LSP, foreground and six parts",
            "im1001 to im2000, with the masks of Lassner et al. (UPi-S1h)",
            ("fb_accuracy", "fb_f1", "part_accuracy", "part_f1", "silhouette_iou", "part_iou_6"),
            keeps=_keeps_lsp,
            sources=(
                f"{_SPIN}, section 4.2 and table 2; its eval.py",
                "Lassner et al., Unite the People, 2017, and its up_tools/model.py (six_region_groups)",
            ),
            unverified=(
                "Bodies are drawn at the image's own size, where SPIN enlarges a drawing of 224 x 224 pixels.",
                "Parts meet where skinning weights say, with the neck in the head; Lassner et al. painted the mesh, "
                "with the neck in the torso.",
                "That the files' parts 1 to 6 are head, torso, right and left arm, right and left leg is the order of "
                "six_region_groups; the files themselves were not seen.",
            ),
        ),
        Protocol(
            "up-3d",
            "UP-3D, test set",
            "the lines of test.txt",
            ("pve_mm", "mpjpe_mm", "pve_t_mm"),
            SMPL24,
            SMPL24.keypoints,
            root="pelvis",
            sources=(f"{_RONG}, section 4, tables 3 to 7: PVE, MPJPE on SMPL's joints, PVE-T",),
            unverified=(
                "PVE and MPJPE align the pelvis, since the translation depends on the camera that was assumed; the "
                "paper does not say what it aligns.",
            ),
        ),
        Protocol(
            "coco-densepose",
            "COCO-DensePose, DKD",
            "people with annotated points of the evaluation set",
            ("dkd_px",),
            crop=224,
            sources=(f"{_RONG}, eq. 3 and 4, section 4 and table 5",),
            unverified=(
                "Table 5 says mm, but eq. 4 is a distance in the image: here it is pixels of the 224 x 224 crop that "
                "the network sees, the box's longer side scaled to 224.",
                "The mean is over a person's points, then over people.",
            ),
        ),
    )
}
"""Every protocol, by name."""
