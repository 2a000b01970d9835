"""A config of ours in PaddleOCR's words: it is PaddleOCR's YAML already, but for what PaddleOCR has no default for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

OF_ARCHITECTURE = {"model_type": "det", "algorithm": "DB", "Transform": None}
OF_BACKBONES = {"PPLCNetV3": {"det": True}}  # it is a recognizer's as well
OF_GLOBAL = {"cal_metric_during_train": False, "use_visualdl": False, "distributed": False}
OF_GLOBAL |= {"save_epoch_step": 1000, "eval_batch_step": [0, 1_000_000]}  # never: neither is compared


def peer_config(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The whole config, `_base_` and `-o` merged in, as PaddleOCR reads it. Runs on our side, which has the merging."""
    from ppdet_db.config import load_config

    config = load_config(path, overrides).data
    config["Architecture"] = OF_ARCHITECTURE | config["Architecture"]
    config["Architecture"]["Backbone"] |= OF_BACKBONES.get(config["Architecture"]["Backbone"]["name"], {})
    config["Global"] |= OF_GLOBAL
    return config
