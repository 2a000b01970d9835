"""The containers of the contract, and that its table of keys is the one the code goes by."""

import copy
import pickle
from collections.abc import Mapping, Sequence

import numpy as np

import ppdet_db.components  # noqa: F401
from ppdet_db import contract
from ppdet_db.contract import BINARY, KEYS, SHRINK, THRESHOLD, BadSample, Ragged
from ppdet_db.registry import LOSSES, METRICS, POSTPROCESSES, TRANSFORMS


def test_channels() -> None:
    assert (SHRINK, THRESHOLD, BINARY) == (0, 1, 2)


def test_every_key_that_a_component_names_is_in_the_table() -> None:
    for registry in (TRANSFORMS, LOSSES, POSTPROCESSES, METRICS):
        for name in registry.names():
            cls = registry.get(name)
            keys = {*getattr(cls, "needs", ()), *getattr(cls, "gives", ())}
            assert keys <= KEYS.keys(), f"{name} names keys that contract.KEYS does not have"
    assert set(contract.IDENTITY_KEYS) <= KEYS.keys()
    assert all(key.dtype and key.meaning for key in KEYS.values())


def test_ragged_is_nothing_that_paddle_would_convert() -> None:
    empty = np.zeros((0, 4, 2), np.float32)
    ragged = Ragged([empty, "b"])
    assert not isinstance(ragged, Sequence | Mapping | np.ndarray)
    assert len(ragged) == 2
    assert ragged[0] is empty
    assert list(ragged)[1] == "b"
    assert repr(Ragged([1])) == "Ragged([1])"
    assert pickle.loads(pickle.dumps(ragged))[0].shape == (0, 4, 2)


def test_a_bad_sample_names_what_is_known() -> None:
    assert str(BadSample("a.jpg", "labels.txt:3", "truncated")) == "labels.txt:3: a.jpg: truncated"
    assert str(BadSample("synthetic/1/2.jpg", "", "too dark")) == "synthetic/1/2.jpg: too dark"
    assert copy.deepcopy(BadSample("a", "b", "c")) == pickle.loads(pickle.dumps(BadSample("a", "b", "c")))
