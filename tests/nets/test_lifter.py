import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17, MEDIAPIPE33
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.nets.lifter import Lifter, load_lifter
from made_up import random_bodies

CAMERA = Camera.from_focal(1200, 1000, 1000)


def seen(body: BodyModel, skeleton=COCO17, count: int = 6) -> tuple[Bodies, Evidence]:
    bodies = random_bodies(count, 0, 0.15, torch.float32)
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(skeleton)[0]))
    return bodies, Evidence.from_keypoints(skeleton, keypoints, torch.ones(keypoints.shape[:2]))


def lifter() -> Lifter:
    torch.manual_seed(0)
    net = Lifter(32, 1)
    torch.nn.init.normal_(net.outputs.weight, std=0.3)
    return net.eval()


def test_places_follow_exact_keypoints(body: BodyModel):
    truth, evidence = seen(body)
    lost = Bodies(truth.rotations, truth.betas, torch.zeros_like(truth.translation))
    found = place_in_view(body, lost, evidence, CAMERA.expand(6))
    assert torch.allclose(found.translation, truth.translation, atol=2e-2)


def test_a_body_that_faces_away_still_stands_in_front_of_the_camera(body: BodyModel):
    truth, evidence = seen(body)
    upside = axis_angle_to_rotmat(torch.tensor([torch.pi, 0, 0]))
    rotations = torch.cat([(upside @ truth.rotations[:, 0])[:, None], truth.rotations[:, 1:]], 1)
    found = place_in_view(body, Bodies(rotations, truth.betas, truth.translation), evidence, CAMERA.expand(6))
    assert (body.points(found, body.keypoints(COCO17)[0])[..., 2] > 0.2).all()


def test_the_answer_turns_with_the_camera(body: BodyModel):
    """The same people seen by a camera turned about its centre: the same bodies, turned."""
    truth, evidence = seen(body)
    points = body.points(truth, body.keypoints(COCO17)[0])
    turn = axis_angle_to_rotmat(torch.tensor([0.1, 0.25, 0.0]))
    turned = Evidence.from_keypoints(COCO17, CAMERA.project(points @ turn.T), evidence.confidence)
    first, second = (lifter().lift(e, CAMERA, body) for e in (evidence, turned))
    # not exactly: the virtual cameras agree on where to look, but not on the roll about that ray
    assert torch.allclose(first.rotations[:, 1:], second.rotations[:, 1:], atol=0.15)
    assert torch.allclose(turn @ first.rotations[:, 0], second.rotations[:, 0], atol=0.15)


def test_a_mirrored_photo_gives_the_mirrored_body(body: BodyModel):
    _, evidence = seen(body)
    flipped = evidence.keypoints[:, COCO17.flip] * torch.tensor([-1.0, 1]) + torch.tensor([999.0, 0])
    mirror = Evidence.from_keypoints(COCO17, flipped, evidence.confidence)
    first, second = lifter().lift(evidence, CAMERA, body), lifter().lift(mirror, CAMERA, body)
    assert torch.allclose(first.mirrored().rotations, second.rotations, atol=1e-4)
    assert torch.allclose(first.mirrored().translation, second.translation, atol=1e-3)


def test_unseen_keypoints_and_resolution_do_not_matter(body: BodyModel):
    _, evidence = seen(body)
    confidence = evidence.confidence.clone()
    confidence[:, 9:] = 0
    keypoints = evidence.keypoints.clone()
    keypoints[:, 9:] = 1e5
    a = lifter().lift(Evidence.from_keypoints(COCO17, evidence.keypoints, confidence), CAMERA, body)
    b = lifter().lift(Evidence.from_keypoints(COCO17, keypoints, confidence), CAMERA, body)
    assert torch.equal(a.rotations, b.rotations)
    double = Camera(CAMERA.focal * 2, CAMERA.center * 2, (2000, 2000))
    c = lifter().lift(Evidence.from_keypoints(COCO17, evidence.keypoints * 2, confidence), double, body)
    assert torch.allclose(a.rotations, c.rotations, atol=1e-4)


def test_other_skeletons_and_nobody(body: BodyModel):
    _, evidence = seen(body, MEDIAPIPE33)
    assert lifter().lift(evidence, CAMERA, body).batch_shape == (6,)
    assert lifter().lift(evidence[:0], CAMERA, body).batch_shape == (0,)
    blind = Evidence.from_keypoints(MEDIAPIPE33, evidence.keypoints, torch.zeros(6, 33))
    assert torch.isfinite(lifter().lift(blind, CAMERA, body).translation).all()


def test_half_precision_file_round_trip(tmp_path, body: BodyModel):
    from safetensors.torch import save_file

    net = lifter()
    save_file({k: v.half() for k, v in net.state_dict().items()}, str(tmp_path / "l.safetensors"))
    back = load_lifter(tmp_path / "l.safetensors")
    _, evidence = seen(body)
    a, b = net.lift(evidence, CAMERA, body), back.lift(evidence, CAMERA, body)
    assert torch.allclose(a.rotations, b.rotations, atol=0.02)
    assert not back.training
