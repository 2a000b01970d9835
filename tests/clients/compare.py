"""The boxes that PaddleOCR and RapidOCR find with a model exported here, against those of the network itself.

`make clients` runs it. Weights are those of PP-OCRv6 small, which the package rapidocr carries.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from ppdet_db.geometry import polygon_iou

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared/data"
CONFIG = "configs/det/PP-OCRv6/PP-OCRv6_small_det.yml"
SCENES = "configs/det/det_mv3_db_synthetic.yml"
CLIENTS = ("paddleocr", "rapidocr")
RESIZE = "Eval.dataset.transforms.DetResizeForTest"
RUNS = {
    "shorter side at least 736": [],
    "longer side at most 960": [f"{RESIZE}.limit_side_len=960", f"{RESIZE}.limit_type=max"],
}
IOU, SHARE = 0.9, 0.95
"""So many of the boxes, on both sides, must have a partner that overlaps them so much."""


def pictures_in(folder: Path) -> list[Path]:
    """The first five of a folder."""
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))[:5]


def other_pictures(out: Path) -> list[Path]:
    """Five of three real data sets where they are, else drawn scenes."""
    real = [
        file for name, count in (("sroie", 2), ("td500", 2), ("icdar2015", 1))
        for file in sorted((SHARED / name / "val").glob("*.jpg"))[:count]
    ]  # fmt: skip
    if real:
        return real
    tool("dump_dataset.py", "-c", SCENES, "--number", "5", "--out", out / "scenes")
    return pictures_in(out / "scenes/pictures")


def tool(name: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / name, *arguments], cwd=ROOT, check=True)


def boxes_of_ours(weights: Path, options: list[str], pictures: list[Path], folder: Path) -> list[list]:
    """As `infer_det.py` writes them, on the network and not on its export."""
    listed, result = folder / "pictures.txt", folder / "result.txt"
    listed.write_text("".join(f"{file}\n" for file in pictures))
    places = [f"Global.infer_img={listed}", f"Global.save_res_path={result}"]
    tool("infer_det.py", "-c", CONFIG, "-o", *weights_options(weights), *options, *places)
    lines = (line.partition("\t") for line in result.read_text().splitlines())
    found = {name: [text["points"] for text in json.loads(entries)] for name, _, entries in lines}
    return [found[str(file)] for file in pictures]


def weights_options(weights: Path) -> list[str]:
    return ["Architecture.fused=true", f"Global.checkpoints={weights}"]


def boxes_of_client(python: Path, client: str, folder: Path, pictures: list[Path]) -> list[list]:
    command = [python, Path(__file__).with_name("boxes.py"), client, folder, *pictures]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def overlaps(boxes: list, others: list) -> list[float]:
    """Of each box the best overlap with any of the others."""
    return [max((polygon_iou(box, other) for other in others), default=0.0) for box in boxes]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="of the environment that the clients are in")
    parser.add_argument("--pictures", type=Path, help="a folder; its first five pictures are taken")
    parser.add_argument("--out", type=Path, default=Path("build/clients"))
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = pictures_in(arguments.pictures) if arguments.pictures else other_pictures(out)
    pictures = [file.resolve() for file in found]
    if not pictures:
        print(f"error: {arguments.pictures}: no pictures there; give a folder with PICTURES=FOLDER", file=sys.stderr)
        return 1
    [onnx] = arguments.python.parents[1].glob("lib/python*/site-packages/rapidocr/models/PP-OCRv6_det_small.onnx")
    tool("import_weights.py", "-c", CONFIG, "--from", onnx, "--out", out / "weights")
    rows = []
    for number, (run, options) in enumerate(RUNS.items()):
        folder = out / f"exported{number}"
        place = f"Global.save_inference_dir={folder}"
        tool("export_model.py", "-c", CONFIG, "-o", *weights_options(out / "weights"), *options, place, "--onnx")
        ours = boxes_of_ours(out / "weights", options, pictures, out)
        for client in CLIENTS:
            theirs = boxes_of_client(arguments.python, client, folder, pictures)
            best = [
                overlap for a, b in zip(ours, theirs, strict=True) for overlap in (*overlaps(a, b), *overlaps(b, a))
            ]
            share = float(np.mean(np.array(best) >= IOU)) if best else 0.0
            counts = [sum(map(len, found)) for found in (ours, theirs)]
            rows.append((client, run, *counts, share, min(best, default=0.0)))
    enough = f"IoU >= {IOU}"
    print(f"\n{'client':<10} {'pictures resized to':<26} {'ours':>5} {'theirs':>7} {enough:>11} {'least IoU':>10}")
    for client, run, own, other, share, least in rows:
        print(f"{client:<10} {run:<26} {own:>5} {other:>7} {share:>11.1%} {least:>10.3f}")
    failed = [row for row in rows if row[4] < SHARE]
    print(f"{len(failed)} of {len(rows)} below {SHARE:.0%}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
