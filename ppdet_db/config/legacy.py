"""PaddleOCR spellings and keys that this program reads differently or not at all: one table, one fate each.

Compatibility lives here. A key that is neither a parameter nor listed is an error.
"""

from dataclasses import dataclass
from typing import Any, Literal

OFF = (None, False)


@dataclass(frozen=True)
class Fate:
    """What becomes of a key.

    Args:
        action: `rename`: its value goes to another parameter, with a note. `ignore`: it has no effect, with a note.
            `refuse`: an error, because the user would get something else than asked for.
        reason: the sentence of the note or the error; of `rename`, the parameter's name.
        silent: values that ask for nothing: accepted without a word.
    """

    action: Literal["rename", "ignore", "refuse"]
    reason: str
    silent: tuple[Any, ...] = OFF


def _ignore(reason: str, silent: tuple[Any, ...] = OFF) -> Fate:
    return Fate("ignore", reason, silent)


def _not_yet(what: str) -> Fate:
    return Fate("refuse", f"not supported yet: {what}. Set it to false or remove it")


_DEVICE = Fate("refuse", "only CPU and NVIDIA GPUs (use_gpu) are supported. Set it to false or remove it")
_RECOGNITION = _ignore("only text recognition uses it")

FATES: dict[tuple[str, str], Fate] = {
    ("Global", "use_xpu"): _DEVICE,
    ("Global", "use_npu"): _DEVICE,
    ("Global", "use_mlu"): _DEVICE,
    ("Global", "use_gcu"): _DEVICE,
    ("Global", "use_metax_gpu"): _DEVICE,
    ("Global", "use_iluvatar_gpu"): _DEVICE,
    ("Global", "d2s_train_image_shape"): _ignore("the static graph takes the size of the crops"),
    ("Global", "use_sync_bn"): _not_yet("batch normalisation over several GPUs"),
    ("Global", "distributed"): _ignore("follows from how the program is started"),
    ("Global", "find_unused_parameters"): _ignore("training on several GPUs takes every weight as used"),
    ("Global", "log_ranks"): _ignore("each process writes its own log"),
    ("Global", "use_visualdl"): _ignore(
        "VisualDL is not supported yet; losses and scores are in the log and curves.png"
    ),
    ("Global", "use_wandb"): _not_yet("logging to Weights & Biases"),
    ("Global", "cal_metric_during_train"): _not_yet("a detection metric on training batches"),
    ("Global", "calc_epoch_interval"): _RECOGNITION,
    ("Global", "character_dict_path"): _RECOGNITION,
    ("Global", "character_type"): _RECOGNITION,
    ("Global", "max_text_length"): _RECOGNITION,
    ("Global", "use_space_char"): _RECOGNITION,
    ("Global", "infer_mode"): _RECOGNITION,
    ("Global", "export_with_pir"): _ignore("an export is in Paddle 3's format (PIR) always", (True, None)),
    ("Global", "uniform_output_enabled"): _ignore("only PaddleX reads that layout"),
    ("Global", "save_model_info"): _ignore("only PaddleX reads it"),
    ("Global", "pdx_model_name"): _ignore("only PaddleX reads it"),
    ("Global", "print_mem_info"): _ignore("the log line always has the memory"),
    ("Global", "debug"): _ignore("nothing reads it"),
    ("Global", "load_static_weights"): _ignore("nothing reads it"),
    ("Architecture", "model_type"): Fate("refuse", "only text detection (det) is supported", ("det", None)),
    ("Architecture", "Transform"): Fate("refuse", "only text recognition has one. Remove it"),
    ("Architecture", "return_all_feats"): _ignore("only distillation uses it"),
    ("Train", "sampler"): Fate("refuse", "not supported: samplers such as MultiScaleSampler are for text recognition"),
    ("Eval", "sampler"): Fate("refuse", "not supported: samplers such as MultiScaleSampler are for text recognition"),
    ("loader", "collate_fn"): _ignore("batches are always put together by key"),
    ("lr", "epochs"): _ignore("follows Global.epoch_num"),
    ("lr", "step_each_epoch"): _ignore("follows from the number of pictures and the batch size"),
    ("Optimizer", "group_lr"): _ignore("only text recognition has groups of weights with a rate of their own"),
    ("Optimizer", "lazy_mode"): _ignore("no network here has sparse gradients"),
    ("Optimizer", "multi_precision"): _ignore("weights and moments are float32 under use_amp too"),
    ("lr", "last_epoch"): _ignore("follows from the checkpoint", (-1, None)),
    ("DecayLearningRate", "end_lr"): _ignore("the rate ends at 0, as in PaddleOCR; Linear has another end", (0, None)),
    ("DecayLearningRate", "warmup_epoch"): _ignore("has no warm-up, as in PaddleOCR; Linear has one", (0, None)),
    ("LinearWarmupCosine", "warmup_epoch"): _ignore("the warm-up is warmup_steps long, as in PaddleOCR", (0, None)),
    ("TwoStepCosine", "T_max1"): _ignore("the first cosine takes 200 epochs, as in PaddleOCR"),
    ("TwoStepCosine", "T_max2"): _ignore("the second cosine takes epoch_num epochs, as in PaddleOCR"),
    ("Backbone", "out_indices"): Fate("refuse", "the necks take all four features. Remove it", (None, [0, 1, 2, 3])),
    ("Backbone", "pretrained"): Fate("refuse", "weights to start from are Global.pretrained_model. Remove it"),
    ("Backbone", "use_ssld"): _ignore("only chose which pretrained weights to download"),
    ("ResNet_vd", "disable_se"): _ignore("ResNet_vd has no squeeze-and-excitation blocks"),
    ("DBPostProcess", "det_box_type"): Fate("rename", "box_type"),
    ("", "profiler_options"): _ignore("there is no profiler; the log line has reader and batch seconds"),
    ("", "wandb"): _not_yet("logging to Weights & Biases"),
}
"""(section or component, key) -> fate. The section of top-level keys is the empty string."""

ALGORITHMS = ("DB", "DB++")


def refusal(architecture: Any) -> tuple[tuple[str, ...], str] | None:
    """(path below Architecture, sentence) for a config of another kind of program, whose other problems say nothing."""
    if not isinstance(architecture, dict):
        return None
    algorithm = architecture.get("algorithm", "DB")
    if "Models" in architecture or algorithm == "Distillation":
        reason = "distillation (CML, DML) is not supported: train the student alone, with its own Backbone, Neck, Head"
        return ("Models",) if "Models" in architecture else ("algorithm",), reason
    if algorithm not in ALGORITHMS:
        return ("algorithm",), f"'{algorithm}' is not supported: this program trains DBNet ({' and '.join(ALGORITHMS)})"
    return None
