"""Label files -> samples. A sample depends on (seed, epoch, index) alone: not on workers, order or history."""

import json
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ppdet_db.contract import BadSample
from ppdet_db.data.transforms.deferring import apply, unpacked, with_pixels
from ppdet_db.errors import DetError, SampleError
from ppdet_db.registry import DATASETS

Transform = Callable[[dict], dict]


class DetDataset:
    """What every dataset does: make the raw sample, run the transforms, hand over a bad sample instead of raising.

    A subclass implements `__len__` and `read`. Items are asked for by `(epoch, index)`; a plain index means epoch 0.

    Args:
        transforms: built transforms, applied in order.
        base_seed: `Global.seed`.
    """

    ext_op_transform_idx: int | None = None

    def __init__(self, transforms: Sequence[Transform] = (), base_seed: int = 0):
        self.transforms = list(transforms)
        self.base_seed = base_seed

    def __len__(self) -> int:
        raise NotImplementedError

    @staticmethod
    def apply(transform: Transform, sample: dict) -> dict:
        """A step of a sample's way; where the time goes is measured by a clock put around it."""
        return apply(transform, sample)

    def read(self, epoch: int, index: int, rng: np.random.Generator) -> dict:
        """`img_path`, `line`, `image` (encoded bytes) and `label` (JSON). Raises SampleError with path and line."""
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int] | int) -> dict | BadSample:
        """A sample of arrays."""
        sample = self.packed(key)
        return sample if isinstance(sample, BadSample) else unpacked(sample)

    def packed(self, key: tuple[int, int] | int) -> dict | BadSample:
        """The sample as a loader takes it: with arrays that transforms have left packed."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of a dataset of {len(self)}")
        return self._sample(epoch, index, (self.base_seed, epoch, index), self.transforms)

    def _sample(self, epoch: int, index: int, seed: tuple, transforms: list[Transform]) -> dict | BadSample:
        rng = np.random.default_rng(seed)
        sample: dict[str, Any] = {"index": index, "epoch": epoch, "rng": rng, "img_path": f"sample {index}", "line": ""}
        where = sample  # a transform that fails half-way may leave anything in its own copy
        try:
            sample.update(self.read(epoch, index, rng))
            for position, transform in enumerate(transforms):
                wanted = getattr(transform, "ext_data_num", 0)
                if wanted:
                    before = transforms[: self.ext_op_transform_idx or position]
                    sample["ext_data"] = self._further_samples(epoch, seed, wanted, before)
                    bad = [extra for extra in sample["ext_data"] if isinstance(extra, BadSample)]
                    if bad:
                        return bad[0]
                sample = self.apply(transform, sample)
            return with_pixels(sample)
        except SampleError as error:
            return BadSample(error.img_path or where["img_path"], error.line or where["line"], str(error))
        except Exception:  # whatever it is, the parent process must learn the picture and the cause
            return BadSample(where["img_path"], where["line"], traceback.format_exc())

    def _further_samples(self, epoch: int, seed: tuple, wanted: int, transforms: list[Transform]) -> list:
        samples = []
        for k in range(wanted):
            own_seed = (*seed, k + 1)
            index = int(np.random.default_rng((*own_seed, 0)).integers(len(self)))
            sample = self._sample(epoch, index, own_seed, transforms)
            samples.append(sample if isinstance(sample, BadSample) else unpacked(sample))
        return samples


@DATASETS.register(aliases=("TextDetDataset",))
class SimpleDataSet(DetDataset):
    """PaddleOCR's label files: one `picture<TAB>[{"transcription", "points"}, ...]` a line; BOM and CRLF allowed.

    A picture may also be a JSON list of file names, of which each epoch draws one.

    Args:
        data_dir: folder that the pictures' names are relative to.
        label_file_list: one file or several.
        ratio_list: share of each file used in an epoch, one number for all or one a file. Below 1 every epoch draws
            another part; 2.5 takes everything twice and a half of it once more. Drawn from (seed, epoch).
        delimiter: what stands between picture and label.
        ext_op_transform_idx: how many transforms a further sample (`CopyPaste`) goes through; by default all that
            stand before the one that asks for it.
        transforms, base_seed: see DetDataset.
        data_root: folder that relative `data_dir` and `label_file_list` start from; the current one by default.

    Raises:
        DetError: a label file is missing, empty, not UTF-8 or has a line without delimiter; no picture is found.
    """

    def __init__(
        self,
        data_dir: str,
        label_file_list: list[str] | str,
        ratio_list: list[float] | float = 1.0,
        delimiter: str = "\t",
        ext_op_transform_idx: int | None = None,
        transforms: Sequence[Transform] = (),
        data_root: str | None = None,
        base_seed: int = 0,
    ):
        super().__init__(transforms, base_seed)
        self.ext_op_transform_idx = ext_op_transform_idx
        self._refuse_wrong_ext_op()
        files = [label_file_list] if isinstance(label_file_list, str) else list(label_file_list)
        ratios = [ratio_list] * len(files) if isinstance(ratio_list, (int, float)) else list(ratio_list)
        if len(ratios) != len(files):
            raise ValueError(f"ratio_list has {len(ratios)} numbers for {len(files)} label files")
        if any(not 0 < ratio < float("inf") for ratio in ratios):
            raise ValueError(f"ratio_list must hold positive numbers, got {ratios}")
        self.data_dir = os.path.join(data_root or "", data_dir)
        self.files = [os.path.join(data_root or "", file) for file in files]
        self.ratios = ratios
        self.lines = [read_label_file(file, delimiter) for file in self.files]
        self._order: tuple[int, list] = (-1, [])
        self._refuse_wrong_folder()

    def __len__(self) -> int:
        return sum(round(len(lines) * ratio) for lines, ratio in zip(self.lines, self.ratios, strict=True))

    def read(self, epoch: int, index: int, rng: np.random.Generator) -> dict:
        file, row = self._rows_of(epoch)[index]
        number, name, label = self.lines[file][row]
        names = names_of(name)
        name = names[0] if len(names) == 1 else names[int(rng.integers(len(names)))]
        path = os.path.join(self.data_dir, name)
        line = f"{self.files[file]}:{number}"
        try:
            with open(path, "rb") as stream:
                return {"img_path": path, "line": line, "image": stream.read(), "label": label}
        except OSError as error:
            raise SampleError(f"the picture cannot be read: {error.strerror}", path, line) from error

    def _rows_of(self, epoch: int) -> list[tuple[int, int]]:
        """(file, row) of each index. Kept for the newest epoch only."""
        if self._order[0] != epoch:
            rows = []
            for file, (lines, ratio) in enumerate(zip(self.lines, self.ratios, strict=True)):
                count = round(len(lines) * ratio)
                whole, rest = divmod(count, len(lines))
                drawn = np.random.default_rng((self.base_seed, epoch, file)).permutation(len(lines))[:rest]
                rows += [(file, row) for row in range(len(lines))] * whole + [(file, int(row)) for row in sorted(drawn)]
            self._order = (epoch, rows)
        return self._order[1]

    def _refuse_wrong_ext_op(self) -> None:
        """A further sample that went through the transform that asks for one would ask for one without end."""
        for position, transform in enumerate(self.transforms):
            asks = getattr(transform, "ext_data_num", 0) and self.ext_op_transform_idx is not None
            if asks and not 1 <= self.ext_op_transform_idx <= position:
                raise ValueError(
                    f"ext_op_transform_idx must be in [1, {position}], the transforms before "
                    f"{type(transform).__name__}, got {self.ext_op_transform_idx}"
                )

    def _refuse_wrong_folder(self) -> None:
        """A wrong data_dir is told before training starts: none of up to 20 pictures, evenly spread, exists."""
        names = [names_of(name)[0] for lines in self.lines for _, name, _ in lines]
        tried = [os.path.join(self.data_dir, name) for name in names[:: max(1, len(names) // 20)]][:20]
        if tried and not any(os.path.exists(path) for path in tried):
            raise DetError(
                f"{self.files[0]}: none of {len(tried)} pictures tried exists, the first is {tried[0]}. "
                f"data_dir is '{self.data_dir}', and the names in the label file are relative to it."
            )


def names_of(picture: str) -> list[str]:
    """The file names that a line's first field holds: itself, or those of a JSON list (`[1].jpg` is none)."""
    if not picture.startswith("["):
        return [picture]
    try:
        names = json.loads(picture)
    except json.JSONDecodeError:
        return [picture]
    return names if names and all(isinstance(name, str) for name in names) else [picture]


def read_label_file(file: str, delimiter: str = "\t") -> list[tuple[int, str, str]]:
    """(line number, picture, label) of each line that is not blank. Raises DetError naming file and line."""
    lines = []
    try:
        with open(file, encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                line = line.rstrip("\n")
                if not line.strip():
                    continue
                name, found, label = line.partition(delimiter)
                if not found:
                    raise DetError(
                        f"{file}:{number}: no {delimiter!r} between picture and label. Each line must read "
                        f'picture{delimiter!r}[{{"transcription": ..., "points": ...}}]; it reads {line[:60]!r}'
                    )
                lines.append((number, name, label))
    except OSError as error:
        raise DetError(
            f"{file}: the label file cannot be read: {error.strerror}. Relative names in label_file_list start at "
            "Global.data_root, or at the current folder when that is not set."
        ) from error
    except UnicodeDecodeError as error:
        raise DetError(f"{file}: not UTF-8 (byte {error.start}). Save the label file as UTF-8.") from error
    if not lines:
        raise DetError(
            f"{file}: the label file holds no line, so there is nothing to read. Add pictures or name another."
        )
    return lines
