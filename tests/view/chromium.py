"""A headless Chromium that draws without a graphics card."""

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--force-device-scale-factor=1",
)  # fmt: skip
PATIENCE = 120.0
"""Seconds: a busy machine without a graphics card draws slowly."""


def require_chromium() -> tuple[str, str]:
    """Paths of browser and driver; skips the test, and says why, where there are none."""
    pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    return browser, driver


@contextmanager
def chromium(width: int, height: int) -> Iterator[Any]:
    """A running browser (selenium's driver) whose pages are of this size in pixels."""
    browser, driver = require_chromium()
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        running = Chrome(options=options, service=Service(driver))
        try:
            inner = running.execute_script("return [window.innerWidth, window.innerHeight]")
            running.set_window_size(2 * width - inner[0], 2 * height - inner[1])
            running.set_page_load_timeout(PATIENCE)
            running.set_script_timeout(PATIENCE)
            yield running
        finally:
            running.quit()


def pixels(driver: Any) -> np.ndarray:
    """What is to be seen: (H, W, 3) int."""
    return np.asarray(Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")).astype(int)


def complaints(driver: Any) -> list[str]:
    """Errors in the console so far."""
    return [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]


def wait_for(what: str, happened: Callable[[], Any]) -> Any:
    """What a check returns once it is true; fails if it does not become so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := happened():
            return result
        time.sleep(0.1)
    return pytest.fail(f"waited {PATIENCE:.0f} s for {what}")
