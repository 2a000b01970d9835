"""PaddleOCR's checkpoints in a model and an optimizer of ours: what fits goes in, and the report says how."""

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine import Trainer, checkpoint, paddleocr, pdparams
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import CheckpointError, DetError
from ppdet_db.optimizer.optimizers import Adam, Momentum


def network(width: int = 3) -> nn.Layer:
    backbone = nn.Sequential(("conv", nn.Conv2D(1, width, 1)), ("norm", nn.BatchNorm2D(width)))
    return nn.Sequential(("backbone", backbone), ("head", nn.Conv2D(width, 2, 1)))


def saved(file: Path, weights: dict) -> Path:
    paddle.save(weights, str(file))
    return file


def prefixed(prefix: str, weights: dict) -> dict:
    return {prefix + name: value for name, value in weights.items()}


def equal(one: nn.Layer, other: nn.Layer) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


class TestWeights:
    @pytest.mark.parametrize("given", ["x.pdparams", "x"])
    @pytest.mark.parametrize("strict", [True, False])
    def test_whole_model(self, tmp_path, given, strict):
        source, model = network(), network()
        file = saved(tmp_path / "x.pdparams", source.state_dict())
        report = checkpoint.load_weights(model, tmp_path / given, strict=strict)
        assert str(report) == f"{file}: 8 of 8 arrays loaded"
        assert equal(model, source)

    def test_student_of_a_distillation(self, tmp_path):
        student, other, model = network(), network(), network()
        weights = {"Teacher.": network(width=4), "Student2.": other, "Student.": student}
        merged = {
            key: value for name, net in weights.items() for key, value in prefixed(name, net.state_dict()).items()
        }
        file = saved(tmp_path / "x.pdparams", merged)
        report = checkpoint.load_weights(model, file, strict=True)
        assert str(report) == f"{file}: 8 of 8 arrays loaded; 'Student.' stripped; Student2, Teacher left aside"
        assert equal(model, student)

    def test_teacher_is_taken_where_only_its_shapes_fit(self, tmp_path):
        teacher, model = network(width=4), network(width=4)
        merged = prefixed("Student.", network().state_dict()) | prefixed("Teacher.", teacher.state_dict())
        report = checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", merged), strict=True)
        assert report.renamed == "'Teacher.' stripped; Student left aside"
        assert equal(model, teacher)

    def test_backbone_trained_on_imagenet(self, tmp_path):
        source, model = network(), network()
        head = model.head.weight.numpy()
        weights = source.backbone.state_dict() | {"fc.weight": paddle.ones([3, 10]), "fc.bias": paddle.ones([10])}
        file = saved(tmp_path / "x.pdparams", weights)
        report = checkpoint.load_weights(model, file, strict=False)
        assert str(report) == (
            f"{file}: 6 of 8 arrays loaded; 2 not in the file (head.weight, head.bias); 2 not in the model "
            "(backbone.fc.weight, backbone.fc.bias); 'backbone.' put before each name"
        )
        assert equal(model.backbone, source.backbone)
        np.testing.assert_array_equal(model.head.weight.numpy(), head)
        with pytest.raises(CheckpointError, match="2 not in the file"):
            checkpoint.load_weights(model, file, strict=True)

    def test_backbone_saved_with_its_prefix(self, tmp_path):
        weights = prefixed("backbone.", network().backbone.state_dict())
        report = checkpoint.load_weights(network(), saved(tmp_path / "x.pdparams", weights), strict=False)
        assert (len(report.loaded), report.renamed) == (6, "")

    @pytest.mark.parametrize("wrapper", ["module.", "model.module.", "_layers."])
    def test_network_saved_inside_of_what_ran_it(self, tmp_path, wrapper):
        source, model = network(), network()
        file = saved(tmp_path / "x.pdparams", prefixed(wrapper, source.state_dict()))
        report = checkpoint.load_weights(model, file, strict=True)
        assert str(report) == f"{file}: 8 of 8 arrays loaded; '{wrapper}' stripped"
        assert equal(model, source)

    def test_wrapper_around_a_part(self, tmp_path):
        source, model = network(), network()
        weights = prefixed("module.backbone.", source.backbone.state_dict()) | prefixed(
            "head.", source.head.state_dict()
        )
        report = checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", weights), strict=True)
        assert report.renamed == "'module.' stripped"
        assert equal(model, source)

    def test_wrapper_around_a_distillation_and_a_backbone(self, tmp_path):
        source, model = network(), network()
        merged = prefixed("module.Student.", source.state_dict()) | prefixed("module.Teacher.", network(4).state_dict())
        report = checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", merged), strict=True)
        assert report.renamed == "'module.' stripped; 'Student.' stripped; Teacher left aside"
        assert equal(model, source)
        weights = prefixed("module.", source.backbone.state_dict())
        report = checkpoint.load_weights(network(), saved(tmp_path / "b.pdparams", weights), strict=False)
        assert report.renamed == "'module.' stripped; 'backbone.' put before each name"
        assert len(report.loaded) == 6

    def test_names_of_a_network_that_has_such_a_part_itself(self, tmp_path):
        source, model = (nn.Sequential(("module", nn.Linear(1, 1)), ("last", nn.Linear(1, 1))) for _ in range(2))
        report = checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", source.state_dict()), strict=True)
        assert report.renamed == ""
        assert equal(model, source)

    def test_array_inside_of_a_wrapper_and_outside(self, tmp_path):
        source, model = network(), network()
        weights = source.state_dict() | prefixed("module.", network().state_dict())
        report = checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", weights), strict=False)
        assert (report.renamed, len(report.unexpected)) == ("", 8)
        assert equal(model, source)

    def test_nothing_fits(self, tmp_path):
        file = saved(tmp_path / "x.pdparams", {"a.b": paddle.ones([1])})
        with pytest.raises(CheckpointError, match=r"0 of 8 arrays loaded; .* Nothing matches"):
            checkpoint.load_weights(network(), file, strict=False)

    def test_half_precision_comes_as_the_model_has_it(self, tmp_path):
        source, model = network(), network()
        weights = {name: value.astype("bfloat16") for name, value in source.state_dict().items()}
        checkpoint.load_weights(model, saved(tmp_path / "x.pdparams", weights), strict=True)
        rounded = source.head.weight.astype("bfloat16").astype("float32").numpy()
        np.testing.assert_array_equal(model.head.weight.numpy(), rounded)


class TestMoments:
    """`steps` trains like PaddleOCR; the counters in the file are others than those of the model that loads it."""

    def steps(self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, numbers: range) -> None:
        for number in numbers:
            picture = paddle.to_tensor(np.random.default_rng(number).normal(size=(2, 1, 4, 4)).astype("float32"))
            model(picture).square().mean().backward()
            optimizer.step()
            optimizer.clear_grad()

    def trained(self, folder: Path, make=Adam) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
        model = network()
        optimizer = make(dict(model.named_parameters()), learning_rate=0.1)
        self.steps(model, optimizer, range(3))
        paddle.save(model.state_dict(), str(folder / "x.pdparams"))
        paddle.save(optimizer.state_dict(), str(folder / "x.pdopt"))
        return model, optimizer

    @pytest.mark.parametrize("make", [Adam, Momentum])
    def test_next_step_is_that_of_the_run_that_went_on(self, tmp_path, make):
        model, optimizer = self.trained(tmp_path, make)
        again = network()
        resumed = make(dict(again.named_parameters()), learning_rate=0.1)
        checkpoint.load_weights(again, tmp_path / "x", strict=True)
        checkpoint.load_optimizer(again, resumed, tmp_path / "x")
        self.steps(model, optimizer, range(3, 5))
        self.steps(again, resumed, range(3, 5))
        assert equal(again, model)

    def test_of_a_network_inside_of_what_ran_it(self, tmp_path):
        model, optimizer = self.trained(tmp_path)
        weights = pickle.loads((tmp_path / "x.pdparams").read_bytes())
        names = weights.pop(pdparams.NAMES)
        wrapped = prefixed("module.", weights) | {pdparams.NAMES: prefixed("module.", names)}
        (tmp_path / "x.pdparams").write_bytes(pickle.dumps(wrapped))
        again = network()
        resumed = Adam(dict(again.named_parameters()), learning_rate=0.1)
        checkpoint.load_weights(again, tmp_path / "x", strict=True)
        checkpoint.load_optimizer(again, resumed, tmp_path / "x")
        self.steps(model, optimizer, range(3, 5))
        self.steps(again, resumed, range(3, 5))
        assert equal(again, model)

    def refusal(self, folder: Path, model: nn.Layer, make=Adam) -> str:
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_optimizer(model, make(dict(model.named_parameters()), learning_rate=0.1), folder / "x")
        return str(error.value).removeprefix(f"{folder}/x.pdopt: does not fit this training: ").partition(". Use")[0]

    def test_another_optimizer(self, tmp_path):
        self.trained(tmp_path)
        assert self.refusal(tmp_path, network(), Momentum) == "'moment1_0' is nothing that Momentum keeps"

    def test_another_shape(self, tmp_path):
        self.trained(tmp_path)
        refusal = self.refusal(tmp_path, network(width=4))
        assert refusal == "'moment1_0' of backbone.conv.weight is [3, 1, 1, 1], the weight [4, 1, 1, 1]"

    def test_distillation(self, tmp_path):
        self.trained(tmp_path)
        weights = pickle.loads((tmp_path / "x.pdparams").read_bytes())
        weights = prefixed("Student.", weights) | {pdparams.NAMES: prefixed("Student.", weights[pdparams.NAMES])}
        (tmp_path / "x.pdparams").write_bytes(pickle.dumps(weights))
        with pytest.raises(
            CheckpointError, match=r"holds a moment of 'Student\.\w+\.conv\.weight', which the model does"
        ):
            checkpoint.load_optimizer(network(), Adam(dict(network().named_parameters())), tmp_path / "x")

    def test_no_optimizer_file(self, tmp_path):
        saved(tmp_path / "x.pdparams", network().state_dict())
        assert self.refusal(tmp_path, network()).startswith(
            f"{tmp_path}/x.pdopt: not there, so training cannot resume from this checkpoint."
        )


class TestTraining:
    """A run as PaddleOCR leaves it, gone on with by the config of the same network."""

    def leave(self, trainer: Trainer, prefix: Path, states: dict | None) -> None:
        optimizer = trainer.optimizer.state_dict() | {"LR_Scheduler": {"last_epoch": trainer.global_step}}
        paddle.save(trainer.model.state_dict(), f"{prefix}.pdparams")
        paddle.save(optimizer, f"{prefix}.pdopt")
        if states is not None:
            Path(f"{prefix}.states").write_bytes(pickle.dumps(states, protocol=2))

    def test_goes_on_with_the_next_epoch_as_the_unbroken_run_does(self, plan, tmp_path, caplog):
        caplog.set_level("INFO", "ppdet_db")
        whole = Trainer(plan("Global.epoch_num=1"))
        whole.fit()
        self.leave(
            whole, tmp_path / "best_accuracy", {"epoch": 1, "global_step": 4, "best_model_dict": {"hmean": 0.25}}
        )
        ours = Trainer(plan("Global.save_model_dir=ours", f"Global.checkpoints={whole.folder / 'latest'}"))
        ours.fit()

        theirs = Trainer(plan("Global.save_model_dir=theirs", f"Global.checkpoints={tmp_path / 'best_accuracy'}"))
        assert (theirs.epoch, theirs.global_step, theirs.schedule.last_epoch) == (1, 4, 4)
        theirs.fit()

        assert equal(theirs.model, ours.model)
        assert theirs.global_step == 8
        file = tmp_path / "best_accuracy.pdparams"
        assert f"{file}: saved by PaddleOCR in epoch 1; its best hmean is 0.2500" in caplog.messages

    def test_a_weight_that_nothing_uses_has_no_moments_that_are_missed(self, plan, tmp_path, caplog):
        first = Trainer(plan("Global.epoch_num=1"))
        first.fit()
        spare = next(name for name, weight in first.model.named_parameters() if not weight.stop_gradient)
        self.leave(first, tmp_path / "x", {"epoch": 1, "global_step": 4})
        kept = pickle.loads((tmp_path / "x.pdopt").read_bytes())
        counter = first.model.state_dict()[spare].name
        kept = {key: value for key, value in kept.items() if not key.startswith(f"{counter}_")}
        (tmp_path / "x.pdopt").write_bytes(pickle.dumps(kept))
        caplog.set_level("INFO", "ppdet_db")
        Trainer(plan("Global.save_model_dir=again", f"Global.checkpoints={tmp_path / 'x'}"))
        assert not any("begin at zero" in line for line in caplog.messages)

    def test_resumes_in_the_folder_of_paddleocr(self, plan):
        first = Trainer(plan("Global.epoch_num=1", "Global.save_model_dir=first"))
        first.fit()
        Path("run").mkdir()
        self.leave(first, Path("run/latest"), {"epoch": 1, "global_step": 4, "best_model_dict": {}})
        Path("run/config.yml").write_text("Global: {epoch_num: 1}\n")
        with pytest.raises(DetError, match="holds the checkpoints of another run"):
            Trainer(plan())
        resumed = Trainer(plan(), resume=True)
        assert resumed.global_step == 4
        resumed.fit()
        assert checkpoint.load_state("run/latest")["global_step"] == 8

    def test_without_states_epochs_count_anew(self, plan, tmp_path, caplog):
        caplog.set_level("INFO", "ppdet_db")
        first = Trainer(plan("Global.epoch_num=1"))
        first.fit()
        self.leave(first, tmp_path / "x", None)
        again = Trainer(plan("Global.save_model_dir=again", f"Global.checkpoints={tmp_path / 'x'}"))
        assert (again.epoch, again.global_step) == (0, 4)
        assert any("without .states, so epochs are counted from 1 again" in line for line in caplog.messages)

    def test_evaluates_and_predicts_with_the_weights_alone(self, plan, tmp_path):
        source = Trainer(plan()).model
        saved(tmp_path / "best.pdparams", source.state_dict())
        assert equal(load_trained(plan(f"Global.checkpoints={tmp_path / 'best'}")), source)

    def test_starts_from_weights_alone(self, plan, tmp_path):
        source = Trainer(plan()).model
        saved(tmp_path / "best.pdparams", source.state_dict())
        trainer = Trainer(plan("Global.save_model_dir=other", f"Global.pretrained_model={tmp_path / 'best'}"))
        assert equal(trainer.model, source)
        assert trainer.global_step == 0


@pytest.mark.parametrize(
    ("states", "step", "got"),
    [
        ({"epoch": "3"}, 0, "epoch '3', global_step 0, last_epoch 0"),
        ({"global_step": 1.5}, 0, "epoch 0, global_step 1.5, last_epoch 0"),
        ({}, "4", "epoch 0, global_step '4', last_epoch '4'"),
    ],
)
def test_states_that_are_no_numbers(tmp_path, monkeypatch, states, step, got):
    monkeypatch.setattr(pdparams, "read_optimizer", lambda prefix: ({}, step))
    (tmp_path / "x.states").write_bytes(pickle.dumps(states))
    with pytest.raises(CheckpointError) as error:
        paddleocr.state(tmp_path / "x.pdparams")
    assert str(error.value) == f"{tmp_path}/x.states: how far the training got must be whole numbers, got {got}"


def test_scores_that_are_no_dict_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pdparams, "read_optimizer", lambda prefix: ({}, 4))
    (tmp_path / "x.states").write_bytes(pickle.dumps({"epoch": 2, "best_model_dict": [1]}))
    assert paddleocr.state(tmp_path / "x.pdparams")["epoch"] == 2


def test_names_of_the_files_that_belong_together():
    for given in ("run/v1.2", "run/v1.2.pdparams", "run/v1.2.pdopt"):
        assert paddleocr.weights_file(given) == Path("run/v1.2" + pdparams.WEIGHTS)
        assert paddleocr.optimizer_file(given) == Path("run/v1.2" + pdparams.OPTIMIZER)
