"""PaddleOCR's files: what paddle.save wrote is read without running anything, whatever else is in them is refused."""

import builtins
import contextlib
import functools
import os
import pickle
import re
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine import pdparams
from ppdet_db.errors import CheckpointError
from ppdet_db.optimizer.optimizers import Momentum

PACKAGE = Path(pdparams.__file__).parents[1]


def network() -> nn.Layer:
    return nn.Sequential(("conv", nn.Conv2D(1, 3, 1)), ("norm", nn.BatchNorm2D(3)))


def trained(folder: Path, schedule: bool = True) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
    """A network after one step, saved as PaddleOCR does in `folder/best_accuracy`."""
    model = network()
    rate = paddle.optimizer.lr.LinearWarmup(0.1, warmup_steps=5, start_lr=0.0, end_lr=0.1) if schedule else 0.1
    optimizer = Momentum(dict(model.named_parameters()), learning_rate=rate)
    model(paddle.ones([1, 1, 2, 2])).sum().backward()
    optimizer.step()
    if schedule:
        rate.step()
    paddle.save(model.state_dict(), str(folder / "best_accuracy.pdparams"))
    paddle.save(optimizer.state_dict(), str(folder / "best_accuracy.pdopt"))
    return model, optimizer


def test_paddle_load_is_called_nowhere():
    for file in PACKAGE.rglob("*.py"):
        assert not re.search(
            r"paddle\.load\b|from paddle import .*\bload\b|np\.load\b|pickle\.loads?\(", file.read_text()
        )


class TestWeights:
    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_what_paddle_saved(self, tmp_path, protocol):
        model = network()
        paddle.save(model.state_dict(), str(tmp_path / "x.pdparams"), protocol=protocol)
        weights = pdparams.read_weights(tmp_path / "x.pdparams")
        assert list(weights) == list(model.state_dict())
        for name, tensor in model.state_dict().items():
            np.testing.assert_array_equal(weights[name], tensor.numpy())
            assert weights[name].dtype == tensor.numpy().dtype

    @pytest.mark.parametrize("protocol", [2, 3, 4])
    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6, dtype="float16").reshape(2, 3),
            np.asfortranarray(np.arange(6, dtype="float64").reshape(2, 3)),
            np.arange(6, dtype=">f4").reshape(3, 2),
            np.arange(3, dtype="int64"),
            np.array([True, False]),
            np.array(2.5, dtype="float32"),
            np.zeros((0, 4), dtype="float32"),
        ],
        ids=["half", "columns first", "big-endian", "integers", "truth values", "no axis", "empty"],
    )
    def test_every_form_of_array(self, tmp_path, protocol, array):
        file = tmp_path / "x.pdparams"
        file.write_bytes(pickle.dumps({"w": array}, protocol=protocol))
        read = pdparams.read_weights(file)["w"]
        assert read.shape == array.shape
        assert read.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read, array)

    def test_bfloat16_comes_as_float32(self, tmp_path):
        values = [1.0, -2.5, 0.15625, 3e38, float("inf")]
        tensor = paddle.to_tensor(values).astype("bfloat16")
        paddle.save({"w": tensor}, str(tmp_path / "x.pdparams"))
        read = pdparams.read_weights(tmp_path / "x.pdparams")["w"]
        assert read.dtype == np.float32
        assert read.tolist() == tensor.astype("float32").tolist()

    def test_name_of_numpy_1(self, tmp_path):
        file = tmp_path / "x.pdparams"
        data = pickle.dumps({"w": np.ones(2, "float32")}, protocol=2)
        file.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        assert pdparams.read_weights(file)["w"].tolist() == [1, 1]

    def test_file_of_python_2_whose_text_is_bytes(self, tmp_path):
        # {'w': array([1.0], float32)} of protocol 2 with SHORT_BINSTRING, as Python 2 writes str
        def text(value: bytes) -> bytes:
            return b"U" + bytes([len(value)]) + value

        array = (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R(K\x01K\x01\x85"
            b"cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(struct.pack("<f", 1.0)) + b"tb"
        )  # fmt: skip
        (tmp_path / "x.pdparams").write_bytes(b"\x80\x02}" + text(b"w") + array + b"s.")
        assert pdparams.read_weights(tmp_path / "x.pdparams")["w"].tolist() == [1.0]

    def test_tensor_in_a_plain_dict_and_an_ordered_one(self, tmp_path):
        paddle.save({"inner": OrderedDict(w=paddle.ones([2]))}, str(tmp_path / "x.pdparams"))
        assert pdparams._read_dict(tmp_path / "x.pdparams")["inner"]["w"].tolist() == [1, 1]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ({"epoch": 3}, "holds no weights: 'epoch' in it is no array"),
            ({}, "holds no weights: it is empty"),
            ([1], "holds a list, not a dict of arrays"),
            ({1: np.ones(1)}, "holds something under 1, which is no name"),
            ({("a", 1): np.ones(1)}, "holds something under ('a', 1), which is no name"),
        ],
    )
    def test_another_kind_of_pickle(self, tmp_path, content, reason):
        file = tmp_path / "x.pdparams"
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(CheckpointError) as error:
            pdparams.read_weights(file)
        assert str(error.value) == f"{file}: {reason}"


class Call:
    """Pickled, it has a function called when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class TestMalice:
    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (os.mkdir, "posix.mkdir"),
            (builtins.exec, "builtins.exec"),
            (builtins.eval, "builtins.eval"),
            (builtins.getattr, "builtins.getattr"),
            (np.load, "numpy.load"),
            (paddle.load, "paddle.framework.io.load"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_function_is_refused_by_name_and_not_run(self, tmp_path, protocol, function, name):
        trace = str(tmp_path / "executed")
        arguments = {"posix.mkdir": (trace,), "builtins.exec": (f"import os; os.mkdir({trace!r})",)}.get(name, ("1",))
        file = tmp_path / "x.pdparams"
        file.write_bytes(pickle.dumps({"w": Call(function, *arguments)}, protocol=protocol))
        with pytest.raises(CheckpointError) as error:
            pdparams.read_weights(file)
        asked = re.search("asks for '(.*?)'", str(error.value))[1]
        assert asked == name or asked.endswith(f".{function.__name__}")
        assert not Path(trace).exists()

    @pytest.mark.parametrize(
        ("data", "refused"),
        [
            (b"cnumpy._core.multiarray\nfrombuffer\n.", "numpy._core.multiarray.frombuffer"),
            (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "_codecs.encode(..., 'hex')"),
            (b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.", "numpy.dtype('O')"),
            (b"cnumpy\ndtype\n(X\x05\x00\x00\x00V9999tR.", "numpy.dtype('V9999')"),
            (b"\x80\x04\x8c\x08builtins\x8c\x0ftuple.__class__\x93.", "builtins.tuple.__class__"),
            (b"cnumpy.__class__\nmro\n.", "numpy.__class__.mro"),
            (b"cno_such_module\nf\n.", "no_such_module.f"),
        ],
    )
    def test_beyond_what_arrays_need(self, tmp_path, data, refused):
        file = tmp_path / "x.pdparams"
        file.write_bytes(data)
        with pytest.raises(CheckpointError) as error:
            pdparams.read_weights(file)
        assert str(error.value).startswith(f"{file}: refused: it asks for '{refused}'")

    def test_a_hostile_file_spoils_nothing_for_the_next_one(self, tmp_path):
        # BUILD with (None, {...}) sets attributes of whatever a name gave; a function would keep them
        hostile, sound = tmp_path / "hostile.pdparams", tmp_path / "x.pdparams"
        for name in (b"_codecs\nencode", b"numpy\ndtype", b"numpy\nndarray", b"numpy.core.multiarray\nscalar"):
            hostile.write_bytes(b"c" + name + b"\n(N}X\x0c\x00\x00\x00__defaults__(X\x01\x00\x00\x00atstb.")
            with pytest.raises(CheckpointError, match="damaged"):
                pdparams.read_weights(hostile)
        for protocol in (2, 4):
            sound.write_bytes(pickle.dumps({"w": np.ones(1, "float32")}, protocol=protocol))
            assert pdparams.read_weights(sound)["w"].tolist() == [1]
        assert pdparams._Unpickler.make_bytes.__defaults__ is None

    def test_byte_order_that_a_file_names_stays_its_own(self, tmp_path):
        (tmp_path / "x.pdparams").write_bytes(pickle.dumps({"w": np.ones(1, ">f4")}))
        pdparams.read_weights(tmp_path / "x.pdparams")
        assert np.dtype("f4").isnative


class TestRoom:
    """A small file takes little memory, whatever it says."""

    def peak(self, file: Path) -> int:
        """Bytes that reading takes at most."""
        tracemalloc.start()
        with contextlib.suppress(CheckpointError):
            pdparams.read_weights(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    @pytest.mark.parametrize(
        "data",
        [
            b"\x80\x02}r\x00\x00\x20\x00.",
            b"\x80\x05\x96\x00\x00\x00\x10\x00\x00\x00\x00.",
            pickle.dumps({"w": functools.reduce(lambda inner, _: [inner, inner], range(18), [])}),
        ],
        ids=["two million memo entries", "256 MB of a bytearray", "each list twice in the next"],
    )
    def test_is_not_more_than_the_content(self, tmp_path, data):
        (tmp_path / "x.pdparams").write_bytes(data)
        assert self.peak(tmp_path / "x.pdparams") < 2_000_000

    def test_arrays_that_share_their_bytes_are_refused_before_they_are_copied(self, tmp_path):
        data = np.ones(100_000, ">f4").tobytes()

        class Copy:
            def __reduce__(self):
                arguments = np.ndarray, (0,), b"b"
                return np.zeros(1).__reduce__()[0], arguments, (1, (100_000,), np.dtype(">f4"), False, data)

        file = tmp_path / "x.pdparams"
        file.write_bytes(pickle.dumps({f"w{i}": Copy() for i in range(40)}))
        assert self.peak(file) < 2_000_000
        with pytest.raises(CheckpointError, match="its arrays are larger than the file"):
            pdparams.read_weights(file)

    def test_one_array_under_two_names_is_whole(self, tmp_path):
        array = np.arange(1000, dtype="float32")
        file = tmp_path / "x.pdparams"
        file.write_bytes(pickle.dumps({"a": array, "b": array}))
        read = pdparams.read_weights(file)
        np.testing.assert_array_equal(read["a"], array)
        np.testing.assert_array_equal(read["b"], array)


class TestDamage:
    def test_cut_at_any_place(self, tmp_path):
        model = network()
        paddle.save(model.state_dict(), str(tmp_path / "whole.pdparams"))
        whole, file = (tmp_path / "whole.pdparams").read_bytes(), tmp_path / "x.pdparams"
        for size in range(0, len(whole), 7):
            file.write_bytes(whole[:size])
            with pytest.raises(CheckpointError) as error:
                pdparams.read_weights(file)
            assert str(error.value).startswith(f"{file}: cannot be read, the file is damaged or not one that Paddle ")

    @pytest.mark.parametrize(
        "data",
        [
            b"<html>not found</html>",
            b"\x89PNG\r\n\x1a\n",
            np.random.default_rng(0).bytes(3000),
            b"PK\x03\x04",
            b"\x80\x04r\xff\xff\xff\xff.",
            b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
            b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
        ],
        ids=["page", "picture", "noise", "zip", "memo of nothing", "huge bytes", "deep"],
    )
    def test_another_kind_of_file(self, tmp_path, data):
        file = tmp_path / "x.pdparams"
        file.write_bytes(data)
        with pytest.raises(CheckpointError) as error:
            pdparams.read_weights(file)
        assert str(error.value).startswith(
            f"{file}: cannot be read, the file is damaged or not one that Paddle saved: "
        )

    def test_array_whose_bytes_are_too_few(self, tmp_path):
        file = tmp_path / "x.pdparams"
        data = pickle.dumps({"w": np.ones(4, "float32")}, protocol=3)
        assert data.count(b"K\x04\x85") == 1  # the shape (4,)
        file.write_bytes(data.replace(b"K\x04\x85", b"K\x05\x85"))
        with pytest.raises(CheckpointError, match="damaged"):
            pdparams.read_weights(file)

    def test_missing_file_and_folder(self, tmp_path):
        for file, reason in ((tmp_path / "x.pdparams", "No such file or directory"), (tmp_path, "Is a directory")):
            with pytest.raises(CheckpointError) as error:
                pdparams.read_weights(file)
            assert str(error.value) == f"{file}: cannot be read: {reason}"


class TestOptimizer:
    def test_arrays_go_by_the_table_in_the_weights_file(self, tmp_path):
        model, optimizer = trained(tmp_path)
        moments, step = pdparams.read_optimizer(str(tmp_path / "best_accuracy"))
        learned = {name: value for name, value in model.named_parameters() if not value.stop_gradient}
        assert set(moments) == {(name, "velocity_0") for name in learned}
        own = optimizer.state_dict()
        for name, parameter in learned.items():
            expected = own[f"{parameter.name}_velocity_0"].numpy()
            np.testing.assert_array_equal(moments[name, "velocity_0"], expected)
        assert step == 1

    def test_a_name_that_begins_like_another(self, tmp_path):
        model = nn.Linear(1, 1, weight_attr=paddle.ParamAttr(name="bn"), bias_attr=paddle.ParamAttr(name="bn_offset"))
        moments = {"bn_velocity_0": np.ones(1), "bn_offset_velocity_0": np.zeros(1)}
        paddle.save(model.state_dict(), str(tmp_path / "x.pdparams"))
        (tmp_path / "x.pdopt").write_bytes(pickle.dumps(moments))
        read, _ = pdparams.read_optimizer(str(tmp_path / "x"))
        assert {key: value.item() for key, value in read.items()} == {
            ("weight", "velocity_0"): 1,
            ("bias", "velocity_0"): 0,
        }

    def test_constant_rate_has_no_step(self, tmp_path):
        trained(tmp_path, schedule=False)
        assert pdparams.read_optimizer(str(tmp_path / "best_accuracy"))[1] is None

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"master_weights": {"a": np.ones(1)}}, "it was saved in mixed precision (amp_level O2)"),
            ({"lstm_9.w_0_velocity_0": np.ones(1)}, "'lstm_9.w_0_velocity_0' belongs to no weight of best_accuracy.p"),
        ],
    )
    def test_what_cannot_be_told_is_refused(self, tmp_path, change, reason):
        trained(tmp_path)
        file = tmp_path / "best_accuracy.pdopt"
        file.write_bytes(pickle.dumps(pdparams._read_dict(file) | change))
        with pytest.raises(CheckpointError) as error:
            pdparams.read_optimizer(str(tmp_path / "best_accuracy"))
        assert str(error.value).startswith(f"{file}: training cannot resume from it: {reason}")

    def test_weights_without_table(self, tmp_path):
        trained(tmp_path)
        weights = tmp_path / "best_accuracy.pdparams"
        weights.write_bytes(pickle.dumps(pdparams.read_weights(weights)))
        with pytest.raises(CheckpointError, match=r"best_accuracy\.pdparams lacks the table Str"):
            pdparams.read_optimizer(str(tmp_path / "best_accuracy"))


class TestStates:
    def test_what_paddleocr_saves(self, tmp_path):
        saved = {"epoch": 7, "global_step": 350, "best_model_dict": {"hmean": np.float64(0.5), "best_epoch": 6}}
        (tmp_path / "best_accuracy.states").write_bytes(pickle.dumps(saved, protocol=2))
        read = pdparams.read_states(str(tmp_path / "best_accuracy"))
        assert read == saved
        assert type(read["best_model_dict"]["hmean"]) is float

    def test_none(self, tmp_path):
        assert pdparams.read_states(str(tmp_path / "best_accuracy")) == {}

    def test_code_is_refused(self, tmp_path):
        (tmp_path / "x.states").write_bytes(pickle.dumps({"epoch": Call(os.mkdir, str(tmp_path / "executed"))}))
        with pytest.raises(CheckpointError, match=r"asks for 'posix\.mkdir'"):
            pdparams.read_states(str(tmp_path / "x"))
        assert not (tmp_path / "executed").exists()
