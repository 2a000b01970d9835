"""How far pictures that are resampled once are from those of PaddleOCR's way, a resampling for each transform.

    python benchmarks/one_drawing.py my_data my_data/labels.txt

Both ways have the same chance: IaaAugment with its defaults, EastRandomCropData to 640 x 640. Printed are means over
the pictures: the difference in grey levels; how much of the sharpness, the mean absolute Laplacian, the many
resamplings leave; the grey levels that decoding at a part of the size is responsible for.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppdet_db.data.dataset import SimpleDataSet
from ppdet_db.data.transforms import DecodeImage, DetLabelEncode, EastRandomCropData, IaaAugment
from ppdet_db.data.transforms.deferring import apply
from ppdet_db.data.transforms.picture import Picture

TRANSFORMS = [DecodeImage(img_mode="BGR"), DetLabelEncode(), IaaAugment(), EastRandomCropData()]


class Whole(Picture):
    """A picture that is never decoded at a part of its size."""

    def _shrink(self) -> int:
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir")
    parser.add_argument("labels")
    parser.add_argument("--number", type=int, default=100, help="of pictures (default: 100)")
    arguments = parser.parse_args()
    files = SimpleDataSet(arguments.data_dir, arguments.labels)
    rows = [compared(files, index) for index in range(min(arguments.number, len(files)))]
    apart, kept, by_decoding = np.mean(rows, axis=0)
    print(
        f"{len(rows)} pictures: {apart:.2f} grey levels apart, many resamplings keep {kept:.0%} of the sharpness, "
        f"decoding at a part of the size makes {by_decoding:.2f} grey levels"
    )
    return 0


def compared(files: SimpleDataSet, index: int) -> tuple[float, float, float]:
    once, step = ({**files[index], "rng": np.random.default_rng(index)} for _ in range(2))
    for transform in TRANSFORMS:
        once, step = apply(transform, once), transform(step)
    picture, many = once["image"], step["image"]
    one = picture.pixels()
    whole = Whole(picture.source, picture.shape, picture.matrix, picture.window, picture.is_turned).pixels()
    return distance(one, many), sharpness(many) / sharpness(one), distance(one, whole)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def sharpness(picture: np.ndarray) -> float:
    return float(np.abs(cv2.Laplacian(picture, cv2.CV_32F)).mean())


if __name__ == "__main__":
    sys.exit(main())
