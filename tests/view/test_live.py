import socket

import numpy as np
import pytest
from made_up_scene import ball_scene

from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.view.live import LiveView, pieces


@pytest.mark.parametrize("parts", [False, True])
def test_pieces_hold_every_face_once(body: BodyModel, parts: bool):
    found = pieces(body, parts)
    faces = np.concatenate([piece.vertices[piece.faces] for piece in found])
    want = body.faces.numpy()
    np.testing.assert_array_equal(np.unique(faces, axis=0), np.unique(want, axis=0))
    assert len(faces) == len(want)
    assert len(found) == (14 if parts else 1)
    assert all((piece.color is None) != parts for piece in found)


def test_odd_addresses_are_refused(ball: BodyModel):
    pytest.importorskip("viser")
    with pytest.raises(InputError, match="--port"):
        LiveView(ball_scene(ball), port=0)
    with pytest.raises(InputError, match="--host"):
        LiveView(ball_scene(ball), host="203.0.113.7")


def test_only_this_machine_is_served_unless_told_so(ball: BodyModel):
    pytest.importorskip("viser")
    with LiveView(ball_scene(ball), port=18080) as view:
        host, port = view.url.removeprefix("http://").split(":")
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), timeout=5):
            pass
        others = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None)}
        for other in others - {"127.0.0.1", "::1"}:
            with socket.socket(socket.AF_INET6 if ":" in other else socket.AF_INET) as knock:
                knock.settimeout(1)
                assert knock.connect_ex((other, int(port))) != 0
