"""A training step, forward, backward and optimizer, at equal network, weights and batch: drawn scenes of 640 x 640.

Ours is `Trainer.step`, the peer's what the loop of its `tools/program.py` does with a batch. Both make the first steps
from the same weights before any is timed; the loss of the last of these stands in the table and must be the same within
0.001. The learning rate is a small one: Adam's first steps are as long for a gradient of 1e-9 as for one of 1, so where
sums have another order, weights differ by as much as they move. At a rate of 0.001 our own losses of ResNet18_vd, with
the variable below and without, are 0.07 apart in the fifth step.

On an AMD processor our commands set MKL_DEBUG_CPU_TYPE=5 before they import Paddle, which the peer's do not. So each
network is there twice: as `tools/train.py` trains it, and with that variable left alone, where both sides have the same
Paddle. Set it before this script and both sides have it in all cases.
"""

import sys

from alternate import ROOT, Case, compare
from peer_config import peer_config

FOLDER = ROOT / "build/benchmarks/training_step"
CONFIG = ROOT / "configs/det/det_mv3_db_synthetic.yml"
FIRST_STEPS = 5
SCENES = 1000
DBFPN = "Neck={name: DBFPN, out_channels: 256}"
NETWORKS = {  # backbone, neck, pictures a batch
    "ResNet18_vd": ("Backbone={name: ResNet_vd, layers: 18}", DBFPN, 1),
    "MobileNetV3 large 0.5": ("Backbone={name: MobileNetV3, model_name: large, scale: 0.5}", DBFPN, 1),
    "PP-OCRv4 mobile": (
        "Backbone={name: PPLCNetV3, scale: 0.75}",
        "Neck={name: RSEFPN, out_channels: 96, shortcut: true}",
        2,
    ),
}
CASES = [
    Case(
        f"{name}, batch {pictures}" + ("" if as_commands_do else ", MKL_DEBUG_CPU_TYPE left alone"),
        {"network": [backbone, neck], "pictures": pictures, "as_commands_do": as_commands_do},
        at_least=1.5,
    )
    for name, (backbone, neck, pictures) in NETWORKS.items()
    for as_commands_do in (True, False)
]
SETTINGS = [
    f"Global.save_model_dir={FOLDER}/run",
    "Optimizer.lr.learning_rate=0.00003",
    f"Train.dataset.num_samples={SCENES}",
    "Train.dataset.size=[720, 720]",
    "Train.dataset.transforms.EastRandomCropData.size=[640, 640]",
    "Train.loader.num_workers=0",
]
KEYS = ("image", "threshold_map", "threshold_mask", "shrink_map", "shrink_mask")


def ours(network, pictures, as_commands_do):
    if as_commands_do:
        from ppdet_db.cli.processor import use_avx2_on_amd

        use_avx2_on_amd()

    import shutil

    import numpy as np
    import paddle
    import yaml

    from ppdet_db.engine import Trainer, load_plan

    settings = [
        *SETTINGS,
        *(f"Architecture.{part}" for part in network),
        f"Train.loader.batch_size_per_card={pictures}",
    ]
    shutil.rmtree(FOLDER, ignore_errors=True)
    trainer = Trainer(load_plan(CONFIG, settings))
    batch = next(iter(trainer.train_loader))
    # for the other side, which is asked later
    (FOLDER / "peer.yml").write_text(yaml.safe_dump(peer_config(CONFIG, settings)))
    paddle.save(trainer.model.state_dict(), str(FOLDER / "peer.pdparams"))
    np.savez(FOLDER / "batch.npz", **{key: batch[key].numpy() for key in KEYS})
    return after_first_steps(lambda: trainer.step(batch)["loss"])


def peer(network, pictures, as_commands_do):
    import numpy as np
    import paddle
    import yaml
    from ppocr.losses import build_loss
    from ppocr.modeling.architectures import build_model
    from ppocr.optimizer import build_optimizer

    data = yaml.safe_load((FOLDER / "peer.yml").read_text())
    model, loss_of = build_model(data["Architecture"]), build_loss(data["Loss"])
    missing, unexpected = model.set_state_dict(paddle.load(str(FOLDER / "peer.pdparams")))
    assert missing == unexpected == []
    optimizer, schedule = build_optimizer(data["Optimizer"], epochs=1, step_each_epoch=SCENES // pictures, model=model)
    arrays = np.load(FOLDER / "batch.npz")
    batch = [paddle.to_tensor(arrays[key]) for key in KEYS]
    model.train()

    def step():
        loss = loss_of(model(batch[0]), batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
        return loss

    return after_first_steps(step)


def after_first_steps(step):
    """Makes them. One more is what is timed, and the loss of the last of the first what it returns."""
    losses = [float(step()) for _ in range(FIRST_STEPS)]

    def run():
        float(step())  # waits for it
        return {f"loss of step {FIRST_STEPS}": losses[-1]}

    return run


if __name__ == "__main__":
    sys.exit(compare("Training step, 640 x 640", CASES, ours, peer, needs_checkout=True, blocks=5, agree=1e-3))
