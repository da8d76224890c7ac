"""The page and the live viewer in a real browser: they load, show the bodies, follow the slider, do not complain."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import chromium, complaints, pixels, wait_for
from made_up_scene import DISC, GROUND, ball_scene

from bodyloop.body import BodyModel
from bodyloop.view.live import LiveView
from bodyloop.view.notebook import bodies_html
from bodyloop.view.page import save_page
from made_up import random_bodies

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def driver() -> Any:
    with chromium(480, 360) as running:
        yield running


def near(picture: np.ndarray, color: tuple[int, int, int], off: int = 90) -> np.ndarray:
    return np.abs(picture - np.array(color)).sum(-1) < off


def middle(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.array([x.mean(), y.mean()])


def bluish(picture: np.ndarray) -> np.ndarray:
    """Pixels of the first person, in whatever light."""
    return (
        (picture[..., 2] > picture[..., 0] + 15)
        & (picture[..., 2] > 60)
        & (picture[..., 1] > picture[..., 0])
    )


def plain(driver: Any) -> None:
    """Hide what lies over the scene."""
    driver.execute_script(
        "document.getElementById('panel').style.visibility = 'hidden';"
        "document.getElementById('bar').style.opacity = 0;"
    )


def shown(driver: Any, moment: int) -> np.ndarray:
    wait_for(
        f"moment {moment}",
        lambda: driver.execute_script("return document.body.dataset.moment") == str(moment),
    )
    return pixels(driver)


def tick(driver: Any, name: str) -> np.ndarray:
    driver.execute_async_script(
        "document.getElementById(arguments[0]).click();"
        "requestAnimationFrame(() => requestAnimationFrame(arguments[1]));",
        name,
    )
    return pixels(driver)


def open_page(driver: Any, path: Path) -> None:
    driver.get(path.as_uri())
    wait_for("the page", lambda: driver.execute_script("return document.body.dataset.ready"))
    assert driver.execute_script("return document.body.dataset.ready") == "true"


def test_a_page_shows_bodies_where_the_camera_saw_them(driver, ball: BodyModel, tmp_path: Path):
    from selenium.webdriver.common.keys import Keys

    save_page(tmp_path / "balls.html", ball_scene(ball))
    open_page(driver, tmp_path / "balls.html")
    plain(driver)
    tick(driver, "show-keypoints")  # the nose's dot lies on the ball
    seen = []
    for moment in range(3):
        picture = shown(driver, moment)
        body, disc = bluish(picture), near(picture, DISC)
        assert body.sum() > 200
        assert near(picture, GROUND).sum() > 10_000
        assert np.abs(middle(body) - middle(body | disc)).max() < 1  # each ball in the middle of its disc
        assert 1.3**2 < (body | disc).sum() / body.sum() < 1.7**2
        seen.append(picture)
        driver.find_element("id", "seek").send_keys(Keys.ARROW_RIGHT)
    assert all((near(a, b, 30) == 0).mean() > 0.02 for a, b in pairwise(seen))
    assert complaints(driver) == []


def test_a_page_obeys_its_boxes(driver, ball: BodyModel, tmp_path: Path):
    save_page(tmp_path / "balls.html", ball_scene(ball))
    open_page(driver, tmp_path / "balls.html")
    plain(driver)
    driver.execute_script(
        "const seek = document.getElementById('seek'); seek.value = 1; seek.dispatchEvent(new Event('input'));"
    )
    first = shown(driver, 1)
    without_dots = tick(driver, "show-keypoints")
    assert (first != without_dots).any(-1).sum() > 20
    colored = tick(driver, "show-parts")
    assert bluish(without_dots).sum() > 200 > bluish(colored).sum()
    tick(driver, "show-parts")
    before = pixels(driver)
    tick(driver, "show-others")
    labels = driver.execute_script(
        "return [...document.querySelectorAll('#labels div')].filter((d) => d.style.display !== 'none')"
        ".map((d) => d.textContent)"
    )
    assert labels == ["anna 1", "other"]
    driver.execute_script("document.getElementById('labels').style.display = 'none'")
    both = pixels(driver)
    assert (
        (before != both).any(-1) & near(before, GROUND)
    ).sum() > 200  # beside the first, before the picture
    tick(driver, "show-others")
    driver.execute_async_script(
        "document.querySelector('#people input').click(); setTimeout(arguments[0], 300);"
    )
    assert bluish(pixels(driver)).sum() == 0
    tick(driver, "show-picture")
    assert near(pixels(driver), GROUND).sum() == 0
    assert complaints(driver) == []


def test_a_page_plays_and_its_view_turns_and_comes_back(driver, ball: BodyModel, tmp_path: Path):
    from selenium.webdriver import ActionChains

    save_page(tmp_path / "balls.html", ball_scene(ball))
    open_page(driver, tmp_path / "balls.html")
    plain(driver)
    first = shown(driver, 0)
    canvas = driver.find_element("css selector", "canvas")
    ActionChains(driver).drag_and_drop_by_offset(canvas, 80, 30).perform()
    wait_for("the view to turn", lambda: (pixels(driver) != first).any(-1).mean() > 0.05)
    driver.execute_script("document.getElementById('reset').click()")
    wait_for("the view to come back", lambda: (np.abs(pixels(driver) - first).sum(-1) > 30).mean() < 0.001)
    driver.find_element("id", "play").click()
    wait_for("the next moment", lambda: driver.execute_script("return document.body.dataset.moment") != "0")
    driver.find_element("id", "play").click()
    assert complaints(driver) == []


def test_a_body_in_a_notebook(driver, tmp_path: Path):
    (tmp_path / "cell.html").write_text(
        f"<!doctype html><body>{bodies_html(random_bodies(2, spread=0.2))}</body>"
    )
    driver.get((tmp_path / "cell.html").as_uri())
    wait_for("two bodies", lambda: bluish(pixels(driver)).sum() > 500)
    picture = pixels(driver)
    orange = (picture[..., 0] > picture[..., 2] + 20) & (picture[..., 0] > 60)
    assert orange.sum() > 500
    assert middle(bluish(picture))[0] < middle(orange)[0]
    assert complaints(driver) == []


def test_the_live_viewer(driver, ball: BodyModel):
    pytest.importorskip("viser", reason="viser is not installed: pip install -e '.[dev]'")
    with LiveView(ball_scene(ball), port=18090) as view:
        driver.get(view.url)

        def ball_there() -> bool:
            picture = pixels(driver)
            return bluish(picture).sum() > 200 and near(picture, DISC).sum() > 100

        wait_for("the ball before its disc", ball_there)
        first = pixels(driver)
        slider = driver.find_element("css selector", "[role=slider]")
        driver.execute_script("arguments[0].focus()", slider)
        slider.send_keys("\ue014")
        wait_for("the slider to move the scene", lambda: view.moment == 1)
        wait_for("the picture to change", lambda: (np.abs(pixels(driver) - first).sum(-1) > 60).mean() > 0.02)
        assert complaints(driver) == []
