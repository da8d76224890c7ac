"""Speed of data sets: opening SPIN's largest file, and augmented samples of photos.

Run by hand: ``python benchmarks/data_speed.py [--photos FOLDER] [--rows N] [--json]``. The file has the columns of
Human3.6M's training set with random numbers, 312,188 rows as there; beside it, making every record at once, as a reader
that goes row by row would. Crops of noise of 1000 x 1000 pixels are cut out by pillow, as samples are, and by torch's
``grid_sample`` after averaging. With ``--photos``, a folder with ``person_keypoints.json`` and ``images/``, whole
samples are timed: decoding, augmentation, tensors. One core; medians.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from timing import seconds
from torch.nn.functional import avg_pool2d, grid_sample

from bodyloop.data.augment import AugmentConfig, crop_picture
from bodyloop.data.formats import open_dataset
from bodyloop.data.mixture import RecordDataset
from bodyloop.geometry import CropTransform

ROWS = 312_188
SAMPLED_ROWS = 2000


def write_rows(path: Path, rows: int) -> None:
    """A file like ``h36m_train.npz``."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        imgname=np.array([f"images/S9_Directions_1.54138969_{i:06d}.jpg" for i in range(rows)]),
        center=rng.random((rows, 2)) * 1000,
        scale=1 + rng.random(rows),
        part=rng.random((rows, 24, 3)),
        openpose=rng.random((rows, 25, 3)),
        S=rng.random((rows, 24, 4)),
        pose=rng.random((rows, 72)),
        shape=rng.random((rows, 10)),
        has_smpl=np.ones(rows),
    )


def file_speed(rows: int) -> dict[str, float]:
    """Seconds to open the file, and to make every record."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h36m_train.npz"
        write_rows(path, rows)
        opened = seconds(lambda: open_dataset(path), 3)
        records = open_dataset(path)
        some = min(SAMPLED_ROWS, rows)
        each = seconds(lambda: [records[i] for i in range(some)], 3) / some
    return {
        "rows": rows,
        "open_seconds": opened,
        "record_microseconds": each * 1e6,
        "all_at_once_over_open": (opened + each * rows) / opened,
    }


def by_tensors(image: torch.Tensor, crop: CropTransform) -> torch.Tensor:
    """The crop (3, S, S) of an image (3, H, W) float32 by torch alone."""
    reduce = max(1, int(float(crop.size) / crop.resolution))
    side = torch.arange(crop.resolution, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    places = crop.crop_to_image(torch.stack([x, y], -1).flatten(0, 1)).float()
    small = avg_pool2d(image[None], reduce) if reduce > 1 else image[None]
    size = torch.tensor([image.shape[2], image.shape[1]])
    grid = ((places + 0.5) / size * 2 - 1).reshape(1, crop.resolution, crop.resolution, 2)
    return grid_sample(small, grid, align_corners=False)[0]


def crop_speed() -> dict[str, float]:
    """Milliseconds to cut a turned crop out of 1000 x 1000 pixels."""
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3)).astype(np.uint8)
    center, size = torch.tensor([500.0, 450.0]).double(), torch.tensor(600.0).double()
    crop = CropTransform(center, size, 224, 0.3, True)

    def tensors() -> torch.Tensor:
        return by_tensors(torch.from_numpy(image).permute(2, 0, 1).float(), crop)

    ours, other = seconds(lambda: crop_picture(image, crop), 30), seconds(tensors, 30)
    return {"crop_ms": ours * 1e3, "crop_by_tensors_ms": other * 1e3, "tensors_over_ours": other / ours}


def sample_speed(photos: Path) -> dict[str, float]:
    """Milliseconds a sample, and samples a second."""
    records = open_dataset(photos / "person_keypoints.json", images=photos / "images")
    dataset = RecordDataset(records, AugmentConfig())
    dataset[0]
    each = seconds(lambda: [dataset[i] for i in range(len(dataset))], 3) / len(dataset)
    return {"people": len(dataset), "sample_ms": each * 1e3, "samples_a_second": 1 / each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder with person_keypoints.json and images/")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    found = file_speed(options.rows) | crop_speed()
    if options.photos is not None:
        found |= sample_speed(options.photos)
    print(f"{found['rows']:,.0f} rows opened in {found['open_seconds']:.2f} s; a record in "
          f"{found['record_microseconds']:.0f} microseconds when it is asked for")  # fmt: skip
    print(f"making all records at once would take {found['all_at_once_over_open']:.1f} times as long")
    print(f"a crop in {found['crop_ms']:.1f} ms; by tensors {found['crop_by_tensors_ms']:.1f} ms, "
          f"{found['tensors_over_ours']:.1f} times as long")  # fmt: skip
    if "sample_ms" in found:
        print(f"a whole sample of a photo in {found['sample_ms']:.1f} ms")
    if options.json:
        print(json.dumps({"benchmark": "data_speed", **found}))


if __name__ == "__main__":
    main()
