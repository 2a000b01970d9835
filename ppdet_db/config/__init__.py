"""YAML -> a checked plan. `load_config` reads, `check` judges; docs/config.md describes the language."""

from ppdet_db.config.document import flow_yaml
from ppdet_db.config.plan import check, check_inference, check_section
from ppdet_db.config.schema import GlobalOptions, LoaderOptions
from ppdet_db.config.source import Config, load_config, load_inference_config
from ppdet_db.config.specs import (
    ArchitectureSpecs,
    DatasetSpecs,
    InferencePlan,
    OptimizerSpecs,
    Plan,
    ReaderSpecs,
)
from ppdet_db.config.tree import Mark
from ppdet_db.errors import ConfigError

__all__ = [
    "ArchitectureSpecs",
    "Config",
    "ConfigError",
    "DatasetSpecs",
    "GlobalOptions",
    "InferencePlan",
    "LoaderOptions",
    "Mark",
    "OptimizerSpecs",
    "Plan",
    "ReaderSpecs",
    "check",
    "check_inference",
    "check_section",
    "flow_yaml",
    "load_config",
    "load_inference_config",
]
