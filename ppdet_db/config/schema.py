"""What a config may hold: which registry answers which section, and the options without a class."""

from dataclasses import dataclass, field
from typing import Literal

from ppdet_db.registry import (
    BACKBONES,
    DATASETS,
    HEADS,
    LOSSES,
    METRICS,
    NECKS,
    OPTIMIZERS,
    POSTPROCESSES,
    REGULARIZERS,
    SCHEDULES,
    Registry,
)

COMPONENT_SECTIONS: dict[tuple, Registry] = {
    ("Architecture", "Backbone"): BACKBONES,
    ("Architecture", "Neck"): NECKS,
    ("Architecture", "Head"): HEADS,
    ("Loss",): LOSSES,
    ("Optimizer",): OPTIMIZERS,
    ("Optimizer", "lr"): SCHEDULES,
    ("Optimizer", "regularizer"): REGULARIZERS,
    ("PostProcess",): POSTPROCESSES,
    ("Metric",): METRICS,
    ("Train", "dataset"): DATASETS,
    ("Eval", "dataset"): DATASETS,
}
"""Sections whose `name` chooses a class."""

INNER_SECTIONS: dict[tuple, tuple[str, ...]] = {
    ("Optimizer",): ("lr", "regularizer"),
    ("Train", "dataset"): ("transforms",),
    ("Eval", "dataset"): ("transforms",),
}
"""Keys of a component's section that are components of their own, not its parameters."""

DEFAULT_NAMES: dict[tuple, str] = {("Optimizer", "lr"): "Const"}
"""The component of a section without `name`."""

SECTIONS = ("Global", "Architecture", "Loss", "Optimizer", "PostProcess", "Metric", "Train", "Eval")

KNOWN_SECTIONS = {
    *((section,) for section in SECTIONS),
    *COMPONENT_SECTIONS,
    ("Train", "loader"),
    ("Eval", "loader"),
}
"""What `-o` may begin where the file has nothing yet."""

Engine = Literal["paddle", "onnxruntime", "openvino"]
"""What runs an exported network: Paddle Inference, ONNX Runtime, OpenVINO."""


def _at_least(least: float, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


@dataclass(frozen=True)
class GlobalOptions:
    """The `Global` section: how long, how often, where to.

    Args:
        epoch_num: epochs of the whole training.
        use_gpu: train on the GPU where there is one.
        print_batch_step: steps between two log lines.
        log_smooth_window: steps whose losses a log line sums up.
        save_model_dir: folder of checkpoints and logs.
        save_epoch_step: epochs between two numbered checkpoints; 0 for none.
        eval_batch_step: steps between two evaluations, or [first step, steps between]; null for none.
        eval_batch_epoch: epochs between two evaluations; counts instead of eval_batch_step.
        eval_engine: inference engine that evaluations during training run the network on; null for the network itself.
        accumulate: batches whose gradients make one step. Everything that counts steps counts these.
        use_ema: average the weights over the steps; evaluate the average.
        ema_decay: share that the average keeps at a late step.
        ema_gamma: of ema_decay_type exponential: steps after which the decay has come 63 % of its way.
        ema_decay_type: how the decay grows to ema_decay: threshold, exponential, or normal, which has it at once.
        ema_filter_no_grad: leave parameters without gradient out of the average; they do not change.
        freeze: parts of the network (backbone, neck.p5_conv) whose parameters are not trained.
        freeze_norm: parts whose batch norms keep and use their running statistics; true for all.
        pretrained_model: weights to start from.
        checkpoints: checkpoint to resume training from, or to evaluate.
        infer_img: picture or folder to predict.
        save_res_path: the file that predictions go to.
        save_inference_dir: the folder that an exported model goes to; null for ./output/inference.
        model_name: name of an exported model; PaddleX reads those that have the name of a model of its own.
        use_amp: mixed precision, on a GPU; a CPU computes in float32 all the same.
        amp_level: O1: in 16 bits what gains from it; O2: all but what must not.
        amp_dtype: the 16 bits.
        scale_loss: factor on the loss with float16, so that small gradients do not become 0.
        use_dynamic_loss_scaling: let that factor grow, and shrink when gradients overflow.
        amp_custom_black_list: operations to keep in float32.
        amp_custom_white_list: operations to do in 16 bits.
        to_static: train the network as a static graph.
        seed: of everything random.
        imports: modules or .py files with components of your own.
        strict: False turns unknown keys into warnings.
        data_root: folder that relative data paths start at; null for the current folder.
    """

    epoch_num: int
    use_gpu: bool = False
    print_batch_step: int = 10
    log_smooth_window: int = 20
    save_model_dir: str = "./output"
    save_epoch_step: int = 0
    eval_batch_step: int | list[int] | None = None
    eval_batch_epoch: int | None = None
    eval_engine: Engine | None = None
    accumulate: int = 1
    use_ema: bool = False
    ema_decay: float = 0.9998
    ema_gamma: float = 2000
    ema_decay_type: Literal["threshold", "exponential", "normal"] = "threshold"
    ema_filter_no_grad: bool = False
    freeze: list[str] = field(default_factory=list)
    freeze_norm: bool | list[str] = False
    pretrained_model: str | None = None
    checkpoints: str | None = None
    infer_img: str | None = None
    save_res_path: str = "./output/predicts_det.txt"
    save_inference_dir: str | None = None
    model_name: str = "PP-OCRv4_mobile_det"
    use_amp: bool = False
    amp_level: Literal["O1", "O2"] = "O2"
    amp_dtype: Literal["float16", "bfloat16"] = "float16"
    scale_loss: float = 1.0
    use_dynamic_loss_scaling: bool = False
    amp_custom_black_list: list[str] = field(default_factory=list)
    amp_custom_white_list: list[str] = field(default_factory=list)
    to_static: bool = False
    seed: int = 1024
    imports: list[str] = field(default_factory=list)
    strict: bool = True
    data_root: str | None = None

    def __post_init__(self) -> None:
        _at_least(1, epoch_num=self.epoch_num, print_batch_step=self.print_batch_step)
        _at_least(1, log_smooth_window=self.log_smooth_window, eval_batch_epoch=self.eval_batch_epoch)
        _at_least(1, accumulate=self.accumulate)
        _at_least(0, save_epoch_step=self.save_epoch_step, seed=self.seed)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.scale_loss <= 0:
            raise ValueError(f"scale_loss must be above 0, got {self.scale_loss}")
        if self.ema_gamma <= 0:
            raise ValueError(f"ema_gamma must be above 0, got {self.ema_gamma}")
        step = self.eval_batch_step
        if isinstance(step, list) and (len(step) != 2 or step[0] < 0 or step[1] < 1):
            raise ValueError(f"eval_batch_step must be [first step, steps between], such as [0, 400], got {step}")
        if isinstance(step, int):
            _at_least(1, eval_batch_step=step)


@dataclass(frozen=True)
class LoaderOptions:
    """A `loader` section.

    Args:
        shuffle: a new order each epoch.
        drop_last: leave out a last batch that is not full.
        batch_size_per_card: pictures a batch.
        num_workers: processes that read pictures; 0 reads in the training process.
        use_shared_memory: workers hand pictures over through shared memory.
    """

    shuffle: bool = False
    drop_last: bool = False
    batch_size_per_card: int = 1
    num_workers: int = 0
    use_shared_memory: bool = True

    def __post_init__(self) -> None:
        _at_least(1, batch_size_per_card=self.batch_size_per_card)
        _at_least(0, num_workers=self.num_workers)
