"""ppdet_db: config-driven training of DBNet text detectors on PaddlePaddle."""

__version__ = "0.1.0"
