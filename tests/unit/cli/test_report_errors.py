"""What a command does with an exception, and which warnings it keeps to itself."""

import warnings

import pytest

from ppdet_db.cli import report_errors
from ppdet_db.cli.eval import table
from ppdet_db.errors import ConfigError, DetError


def raising(error: BaseException):
    @report_errors
    def main(argv: list[str] | None = None) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DetError("a.txt:3: no tab"), 1, "error: a.txt:3: no tab\n"),
        (ConfigError(["a.yml:1: one", "a.yml:2: two"]), 1, "error: a.yml:1: one\na.yml:2: two\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C\n"),
        (
            ModuleNotFoundError("No module named 'safetensors'", name="safetensors"),
            1,
            "error: the Python package 'safetensors' is not installed. Run: pip install -r requirements.txt\n",
        ),
    ],
)
def test_what_the_user_can_mend(error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture) -> None:
    assert raising(error)(["x"]) == code
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", message)


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0"])
def test_opencvs_system_libraries(library: str, capsys: pytest.CaptureFixture) -> None:
    assert raising(ImportError(f"{library}: cannot open shared object file: No such file or directory"))([]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: OpenCV cannot be imported: {library}: cannot open shared object file")
    assert "apt-get install libgl1 libglib2.0-0" in message
    assert "opencv-python-headless" in message


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect of ours"),
        ImportError("cannot import name 'x' from 'ppdet_db.engine'", name="ppdet_db.engine"),
        ModuleNotFoundError("No module named 'ppdet_db.gone'", name="ppdet_db.gone"),
    ],
)
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error)([])
    assert caught.value is error


def test_known_warnings_of_libraries_are_kept_back_and_no_others() -> None:
    @report_errors
    def main(argv: list[str] | None = None) -> int:
        warnings.warn("No ccache found. Please be aware that ...", stacklevel=1)
        warnings.warn("When training, we now always track global mean and variance.", stacklevel=1)
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)
        return 0

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert main([]) == 0
        assert list(warnings.filters) == before
    assert [str(warning.message) for warning in seen] == ["overflow encountered in exp"]


def test_table_aligns_and_tells_ratios_from_counts() -> None:
    assert table({"hmean": 2 / 3, "images": 30, "fps": 12.0}) == "hmean   0.6667\nimages  30\nfps     12.0000"
