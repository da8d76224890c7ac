"""From light to pixels: focus, blur, exposure, noise, compression."""

import io

import numpy as np
from PIL import Image, ImageFilter

from bodyloop.data.synthetic.domains import Domain
from bodyloop.data.synthetic.streams import chance, uniform

USUAL = 224.0
"""Pixels: the size of image for which the domains' blur is given."""


def focused(rng: np.random.Generator, domain: Domain, scene: np.ndarray) -> np.ndarray:
    """The scene (H, W, 3) as a lens draws it that is focused on the person."""
    radius = uniform(rng, (0.3, 0.8)) if not domain.varied else abs(rng.normal(0.0, 1.3))
    # Never quite sharp: the scene has one ray a pixel, whose stairs this hides.
    return _blurred(scene, max(radius, 0.5) * scene.shape[0] / USUAL)


def _blurred(scene: np.ndarray, radius: float) -> np.ndarray:
    """Blur by way of pillow's eight bits, which is several times faster than floating point."""
    coded = (np.sqrt(np.clip(scene, 0, 1)) * 255 + 0.5).astype(np.uint8)
    soft = np.asarray(Image.fromarray(coded).filter(ImageFilter.BoxBlur(1.7 * radius)), np.float32) / 255
    return soft * soft


def exposure(rng: np.random.Generator, domain: Domain, mean: float) -> tuple[float, float, float]:
    """Factors of red, green and blue: what brings the mean to a middle tone, more or less, and a colour cast."""
    spread = 0.25 if domain.varied else 0.08
    gain = min(max((0.28 / max(mean, 0.02)) ** 0.5, 0.65), 1.8) * float(np.exp(rng.normal(0.0, spread)))
    red, blue = np.exp(rng.normal(0.0, 0.3 * spread, 2))
    return gain * float(red), gain, gain * float(blue)


def developed(rng: np.random.Generator, domain: Domain, picture: np.ndarray) -> np.ndarray:
    """Picture (H, W, 3) float32 in [0, 1] to uint8, with the domain's blur, noise and artefacts."""
    scale = picture.shape[0] / USUAL
    image = Image.fromarray((picture * 255 + 0.5).astype(np.uint8))
    sigma = uniform(rng, (0.25, domain.blur)) * scale
    if chance(rng, 0.5 * domain.artefacts):
        small = max(int(image.width * uniform(rng, (0.4, 0.8))), 8)
        image = image.resize((small, small), Image.Resampling.BILINEAR).resize(
            image.size, Image.Resampling.BICUBIC
        )
    if sigma > 0.3:
        image = image.filter(ImageFilter.BoxBlur(1.2 * sigma))
    level = np.float32(uniform(rng, (0.002, domain.noise)) * 255)
    noisy = (
        np.asarray(image, np.float32)
        + _grain(rng, picture.shape[0] * picture.shape[1]).reshape(picture.shape) * level
    )
    noisy = np.clip(noisy + np.float32(0.5), 0, 255).astype(np.uint8)
    if not chance(rng, domain.artefacts):
        return noisy
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=int(rng.integers(25, 85)))
    return np.array(Image.open(buffer))


def _grain(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit normal noise (count, 3) float32; the channels are the same row of numbers, far shifted."""
    far = 7919
    row = rng.standard_normal(count + 2 * far, np.float32)
    return np.stack([row[:count], row[far : far + count], row[2 * far :]], -1)
