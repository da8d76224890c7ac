"""UsdSkel's own queries find the body's joints and vertices in the file."""

import builtins
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.errors import InputError
from bodyloop.view.actors import actors
from bodyloop.view.usd import save_usd, time_codes
from made_up_tracks import in_viewer, small_body, track


@pytest.fixture(scope="module")
def small() -> BodyModel:
    return small_body()


def test_without_usd_core_the_message_says_what_to_install(
    small: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = builtins.__import__

    def no_usd(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pxr":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_usd)
    with pytest.raises(InputError, match=r"pip install 'bodyloop\[usd\]'"):
        save_usd(tmp_path / "a.usd", small, [track()])


@pytest.mark.parametrize("suffix", ["usd", "usda", "usdc"])
def test_joints_and_mesh_are_where_the_body_has_them(small: BodyModel, tmp_path: Path, suffix: str):
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Gf, Usd, UsdGeom, UsdSkel, Vt

    people = [track("anna", start=1.0), track("2 ben", 5, seed=1, start=1.1)]
    save_usd(tmp_path / f"a.{suffix}", small, people)
    stage = Usd.Stage.Open(str(tmp_path / f"a.{suffix}"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (30, 0, 8)
    roots = stage.GetDefaultPrim().GetChildren()
    assert [root.GetDisplayName() for root in roots] == ["anna", "2 ben"]
    for root, one in zip(roots, people, strict=True):
        cache = UsdSkel.Cache()
        assert cache.Populate(UsdSkel.Root(root), Usd.PrimDefaultPredicate)
        skeleton = UsdSkel.Skeleton(root.GetChild("skeleton"))
        query = cache.GetSkelQuery(skeleton)
        names = [path.split("/")[-1] for path in query.GetJointOrder()]
        assert tuple(names) == SMPL_JOINTS
        skinning = cache.GetSkinningQuery(root.GetChild("mesh"))
        truth = small.joints(one.bodies), small.vertices(one.bodies)
        for t in (0, len(one) - 1):
            moment = Usd.TimeCode(30 * (float(one.times[t]) - 1.0))
            places = query.ComputeJointSkelTransforms(moment)
            found = np.array([np.array(matrix)[3, :3] for matrix in places])
            np.testing.assert_allclose(found, in_viewer(truth[0][t]), atol=1e-5)
            points = Vt.Vec3fArray(UsdGeom.Mesh(root.GetChild("mesh")).GetPointsAttr().Get())
            assert skinning.ComputeSkinnedPoints(query.ComputeSkinningTransforms(moment), points, moment)
            np.testing.assert_allclose(np.array(points), in_viewer(truth[1][t]), atol=1e-5)
        middle = query.ComputeJointSkelTransforms(Usd.TimeCode(30 * (float(one.times[0]) - 1.0) + 0.5))
        turns = [Gf.Matrix4d(m).GetDeterminant3() for m in middle]
        np.testing.assert_allclose(turns, 1, atol=1e-3)


def test_usds_own_validators_find_nothing(small: BodyModel, tmp_path: Path):
    validation = pytest.importorskip("pxr.UsdValidation", reason="no usd-core, or one without validators")
    from pxr import Usd

    save_usd(tmp_path / "a.usd", small, [track(), track("ben", 1)])
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    assert validators
    stage = Usd.Stage.Open(str(tmp_path / "a.usd"))
    found = validation.ValidationContext(validators).Validate(stage)
    assert [error.GetErrorAsString() for error in found] == []


def test_uneven_frames_lie_between_time_codes(small: BodyModel):
    one = track()
    times = one.times.clone()
    times[4] += 0.01
    [person] = actors([dataclasses.replace(one, times=times)], small)
    assert time_codes(person, 30.0) == pytest.approx([0, 1, 2, 3, 4.3, 5, 6, 7, 8])
    assert time_codes(person, 30.0)[1] == 1.0


def test_file_names_that_are_not_usds_are_refused(small: BodyModel, tmp_path: Path):
    with pytest.raises(InputError, match=r"ends in \.usd"):
        save_usd(tmp_path / "a.glb", small, [track()])


def test_unwritable_places_are_named(small: BodyModel, tmp_path: Path):
    pytest.importorskip("pxr", reason="usd-core is not installed")
    with pytest.raises(InputError, match="cannot be written"):
        save_usd(tmp_path / "none" / "a.usd", small, [track()])
