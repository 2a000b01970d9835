"""80 pictures end to end: reading, network, postprocess and metric, by what `tools/eval.py` of each side calls.

    CHECKPOINTS="CONFIG=CHECKPOINT ..."   networks to compare; default: the demo's, as `make demo` leaves it
    LABELS=FILE                           a label file, its pictures beside it; default: scenes drawn here
    MERGED=1                              merge the peer's parallel branches before, which its evaluation does not do

Ours runs the network on ONNX Runtime, as `eval --engine onnxruntime` does; the peer's evaluation knows only the network
itself. Pictures are resized to 736 x 1280. A call evaluates the next tenth of them; `hmean` is the mean of all tenths.
"""

import itertools
import os
import sys
from pathlib import Path

from alternate import ROOT, Case, compare
from peer_config import peer_config

FOLDER = ROOT / "build/benchmarks/evaluation"
DEMO = ROOT / "configs/det/det_mv3_db_synthetic.yml"
PICTURES, PARTS = 80, 10
ENGINE = "onnxruntime"
GIVEN = os.environ.get("CHECKPOINTS", f"{DEMO}={ROOT}/demo_output/run/best_accuracy")
NETWORKS = dict(pair.split("=", 1) for pair in GIVEN.split())
CASES = [
    Case(f"{Path(config).stem}, {PICTURES // PARTS} pictures", {"config": config, "checkpoint": checkpoint}, at_least=3)
    for config, checkpoint in NETWORKS.items()
]


def ours(config, checkpoint):
    import paddle
    import yaml

    from ppdet_db.engine import build_loader, build_metric, build_postprocess, evaluate, load_plan
    from ppdet_db.engine.build import build_dataset
    from ppdet_db.engine.predictor import choose_predictor
    from ppdet_db.engine.weights import load_trained

    settings = [f"Global.checkpoints={checkpoint}", "Global.use_gpu=false", "Eval.loader.num_workers=0"]
    settings += [
        "Eval.loader.batch_size_per_card=1",
        "Eval.dataset.name=SimpleDataSet",
        f"Eval.dataset.data_dir={FOLDER}",
    ]
    settings += ["Eval.dataset.transforms.DetResizeForTest={image_shape: [736, 1280]}"]
    files = label_files()
    plans = [load_plan(config, [*settings, f"Eval.dataset.label_file_list=[{file}]"]) for file in files]
    # for the other side, which is asked later
    data = peer_config(config, [*settings, f"Eval.dataset.label_file_list=[{files[0]}]"])
    (FOLDER / "peer.yml").write_text(yaml.safe_dump(data))
    paddle.save(load_trained(plans[0]).state_dict(), str(FOLDER / "peer.pdparams"))

    predict = choose_predictor(plans[0], None, ENGINE)
    loaders = [build_loader(build_dataset(plan.eval.dataset), plan.eval.loader, train=False) for plan in plans]
    postprocess, metric = build_postprocess(plans[0].postprocess), build_metric(plans[0].metric)
    return tenths(loaders, lambda loader: evaluate(predict, loader, postprocess, metric)["hmean"])


def peer(config, checkpoint):
    import logging

    import paddle
    import yaml
    from ppocr.data import build_dataloader
    from ppocr.metrics import build_metric
    from ppocr.modeling.architectures import build_model
    from ppocr.postprocess import build_post_process

    from tools import program

    data = yaml.safe_load((FOLDER / "peer.yml").read_text())
    fused = data["Architecture"].pop("fused", False)
    model = build_model(data["Architecture"])
    weights = paddle.load(str(FOLDER / "peer.pdparams"))
    known = []
    for name, layer in list(model.named_sublayers()):
        if fused and hasattr(layer, "rep"):
            if os.environ.get("MERGED"):
                layer.rep()
            else:
                split(layer, weights.pop(f"{name}.reparam_conv.weight"), weights.pop(f"{name}.reparam_conv.bias"))
            parts = [
                "identity",
                "conv_kxk",
                "conv_1x1",
                *(["act"] if layer.stride == 2 else []),
            ]  # that act is not used
            known += [f"{name}.{part}." for part in parts]
    missing, unexpected = model.set_state_dict(weights)
    assert [name for name in missing if not name.startswith(tuple(known))] == unexpected == []
    loaders = []
    for file in sorted(FOLDER.glob("part*.txt")):
        data["Eval"]["dataset"]["label_file_list"] = [str(file)]
        loaders.append(build_dataloader(data, "Eval", "cpu", logging.getLogger()))
    postprocess, metric = build_post_process(data["PostProcess"], data["Global"]), build_metric(data["Metric"])
    return tenths(loaders, lambda loader: program.eval(model, loader, postprocess, metric, "det")["hmean"])


def split(layer, kernel, bias):
    """A merged convolution as one of the branches that PaddleOCR trains and evaluates; the others then add 0."""
    for norm in layer.sublayers():
        if hasattr(norm, "_variance"):
            norm.weight.set_value(norm.weight * 0)
            norm.bias.set_value(norm.bias * 0)
    branch = layer.conv_kxk[0]
    branch.conv.weight.set_value(kernel)
    branch.bn.weight.set_value(branch.bn.weight + 1)
    branch.bn.bias.set_value(bias)
    branch.bn._variance.set_value(branch.bn._variance * 0 + 1 - branch.bn._epsilon)


def label_files():
    """The label file, drawn where none is given, in as many parts as there are calls; pictures by their whole paths."""
    from ppdet_db.cli.dump import main as dump

    FOLDER.mkdir(parents=True, exist_ok=True)
    given = Path(os.environ.get("LABELS", FOLDER / "scenes/labels.txt")).resolve()
    if "LABELS" not in os.environ:
        dump(["-c", str(DEMO), "--number", str(PICTURES), "--out", str(given.parent)])
    lines = [f"{given.parent}/{line}" for line in given.read_text().splitlines()[:PICTURES]]
    files = [FOLDER / f"part{number}.txt" for number in range(PARTS)]
    for number, file in enumerate(files):
        file.write_text("\n".join(lines[number::PARTS]) + "\n")
    return files


def tenths(loaders, evaluate):
    """A call evaluates the next loader; it returns the mean hmean of those seen."""
    found, numbers = {}, itertools.cycle(range(len(loaders)))

    def run():
        number = next(numbers)
        found[number] = evaluate(loaders[number])
        return {"hmean": sum(found.values()) / len(found)}

    return run


if __name__ == "__main__":
    for checkpoint in NETWORKS.values():
        if not Path(checkpoint).exists():
            sys.exit(f"{checkpoint} is not there: run `make demo` first, or give CHECKPOINTS=...")
    # the warm-up is the first tenth
    sys.exit(compare("Evaluation, 736 x 1280", CASES, ours, peer, needs_checkout=True, blocks=PARTS - 1))
