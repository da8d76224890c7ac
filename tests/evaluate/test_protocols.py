"""What the protocols say: names that exist, records that count."""

import pytest

from bodyloop.body.skeletons import H36M17, MPI17, SPIN24
from bodyloop.evaluate.protocols import J14, J17, PROTOCOLS
from bodyloop.evaluate.scores import METRICS


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_names_exist(protocol):
    assert set(protocol.metrics) <= set(METRICS)
    assert set(protocol.pck_joints) <= set(protocol.joints)
    assert protocol.sources
    if protocol.skeleton is not None:
        assert set(protocol.joints) | {protocol.root} <= set(protocol.skeleton.keypoints)


def test_joints_are_spins():
    """SPIN's constants.py as numbers: what its selections pick, by name."""
    h36m = [H36M17.keypoints[i] for i in (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9)]
    j24 = [SPIN24.keypoints[i] for i in (*range(13), 18, 14, 16, 17)]
    assert tuple(h36m) == J17 == tuple(j24)
    assert J17[:14] == J14


def test_the_test_sets_17_joints_are_spins():
    """SPIN's order of the annotations is Human3.6M's."""
    order = (14, 11, 12, 13, 8, 9, 10, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
    assert tuple(MPI17.keypoints[i] for i in order) == H36M17.keypoints


@pytest.mark.parametrize(
    ("image", "protocols"),
    [
        ("images/S9_Directions_1.54138969_000001.jpg", {"h36m-p1"}),
        ("images/S11_Walking_Dog.60457274_000006.jpg", {"h36m-p1", "h36m-p2"}),
        ("images/S11_Walking.60457274_000005.jpg", set()),
        ("images/S9__ALL_1.60457274_000001.jpg", set()),
        ("images/S1_Walking.60457274_000001.jpg", set()),
        ("images/s_09_act_02_subact_01_ca_01/s_09_act_02_subact_01_ca_01_000001.jpg", {"h36m-p1"}),
        ("s_11_act_16_subact_02_ca_04/s_11_act_16_subact_02_ca_04_000066.jpg", {"h36m-p1", "h36m-p2"}),
        ("s_11_act_16_subact_02_ca_04/s_11_act_16_subact_02_ca_04_000065.jpg", set()),
        ("s_01_act_02_subact_01_ca_04/s_01_act_02_subact_01_ca_04_000001.jpg", set()),
        (
            "mpi_inf_3dhp_test_set/TS6/imageSequence/img_000001.jpg",
            {"mpi-inf-3dhp", "mupots-all", "mupots-matched"},
        ),
        ("MultiPersonTestSet/TS20/img_000000.jpg", {"mupots-all", "mupots-matched"}),
        ("MultiPersonTestSet/TS21/img_000000.jpg", set()),
        ("images/im1001.jpg", {"lsp-segmentation"}),
        ("images/im2000.jpg", {"lsp-segmentation"}),
        ("images/im1000.jpg", set()),
    ],
)
def test_records(image: str, protocols: set[str]):
    anything = {"3dpw", "up-3d", "coco-densepose"}  # their test sets are lists or folders of their own
    assert {p.name for p in PROTOCOLS.values() if p.keeps(image)} - anything == protocols
