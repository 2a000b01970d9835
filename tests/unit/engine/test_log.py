"""The files of a run: lines, rows that survive resumes and cuts, curves, descriptions; the timer."""

import datetime
import json
import logging
import time

import pytest

from ppdet_db.engine import log
from ppdet_db.engine.log import RunLog, Timer, describe_run, git_revision, hours, logger, print_log, write_whole


class TestRows:
    def test_of_a_kind_by_step(self, tmp_path):
        run_log = RunLog(tmp_path)
        run_log.start(0)
        run_log.row("train", step=1, loss=3.0)
        run_log.row("eval", step=1, hmean=0.5)
        run_log.row("train", step=2, loss=2.0)
        assert run_log.rows("train") == [
            {"kind": "train", "step": 1, "loss": 3.0},
            {"kind": "train", "step": 2, "loss": 2.0},
        ]
        assert run_log.rows("eval") == [{"kind": "eval", "step": 1, "hmean": 0.5}]

    def test_a_resume_from_an_earlier_step_takes_the_later_ones_back(self, tmp_path):
        run_log = RunLog(tmp_path)
        for step in (1, 2, 3):
            run_log.row("train", step=step, loss=1.0)
        run_log.start(1)
        run_log.row("train", step=2, loss=5.0)
        assert [(row["step"], row["loss"]) for row in run_log.rows("train")] == [(1, 1.0), (2, 5.0)]

    def test_a_new_start_in_the_folder_of_a_run_without_checkpoint_begins_anew(self, tmp_path):
        run_log = RunLog(tmp_path)
        run_log.row("train", step=7, loss=1.0)
        run_log.start(0)
        assert run_log.rows("train") == []

    def test_a_line_cut_by_a_power_failure_is_left_out(self, tmp_path):
        run_log = RunLog(tmp_path)
        run_log.row("train", step=1, loss=1.0)
        with open(tmp_path / "log.jsonl", "a") as stream:
            stream.write('{"kind": "tra')
        assert [row["step"] for row in run_log.rows("train")] == [1]


class TestLines:
    def test_are_written_inside_the_block_only(self, tmp_path):
        run_log = RunLog(tmp_path)
        with run_log:
            logger.info("inside, %s", "übrigens")
        logger.info("outside")
        lines = (tmp_path / "train.log").read_text("utf-8").splitlines()
        assert [line.split("] ")[1] for line in lines] == ["inside, übrigens"]

    def test_the_error_that_ends_a_run_is_the_last_line(self, tmp_path):
        with pytest.raises(ValueError, match="loss is nan"), RunLog(tmp_path):
            raise ValueError("loss is nan")
        assert (tmp_path / "train.log").read_text().endswith("ended by ValueError: loss is nan\n")
        assert not any(isinstance(handler, logging.FileHandler) for handler in logger.handlers)

    def test_print_log_prints_each_line_once_however_often_it_is_called(self, capsys, monkeypatch):
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        print_log()
        print_log()
        logger.info("hello")
        printed = capsys.readouterr()
        assert printed.out.count("hello") == 1
        assert printed.err == ""


class TestCurves:
    def test_are_drawn(self, tmp_path):
        run_log = RunLog(tmp_path)
        for step in range(1, 5):
            run_log.row("train", step=step, lr=0.1, loss=1 / step, loss_shrink_maps=0.5 / step)
        run_log.row("eval", step=4, precision=0.5, recall=0.5, hmean=0.5)
        run_log.draw_curves()
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_of_an_evaluation_before_the_first_print(self, tmp_path):
        run_log = RunLog(tmp_path)
        run_log.row("eval", step=1, hmean=0.0)
        run_log.draw_curves()
        assert (tmp_path / "curves.png").exists()


def test_describe_run_appends_each_start(tmp_path, monkeypatch):
    for command in (["train.py", "-c", "a.yml"], ["train.py", "-c", "a.yml", "--resume"]):
        monkeypatch.setattr("sys.argv", command)
        describe_run(tmp_path)
    first, second = json.loads((tmp_path / "run.json").read_text())
    assert first["command"] == ["train.py", "-c", "a.yml"]
    assert second["command"][-1] == "--resume"
    assert set(first) == {"started", "command", "ppdet_db", "git", "paddle", "python", "device", "threads"}
    assert datetime.datetime.fromisoformat(first["started"]).tzinfo is not None


def test_git_revision_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "__file__", str(tmp_path / "site-packages/ppdet_db/engine/log.py"))
    assert git_revision() is None


def test_write_whole_leaves_the_old_file_when_it_is_cut(tmp_path, monkeypatch):
    file = tmp_path / "config.yml"
    write_whole(file, "old")

    def cut(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", cut)
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, "new")
    assert file.read_text() == "old"


class TestTimer:
    def test_reader_is_the_part_of_a_step_that_waits_for_batches(self):
        def slow():
            for i in range(3):
                time.sleep(0.03)
                yield i

        timer = Timer()
        for _ in timer.each(slow()):
            time.sleep(0.01)
        reader, batch = timer.take()
        assert reader >= 0.03
        assert batch - reader >= 0.01

    def test_take_starts_anew(self):
        timer = Timer()
        list(timer.each([1, 2]))
        timer.take()
        assert timer.take()[0] == 0.0

    def test_a_pause_is_left_out(self):
        timer = Timer()
        for _ in timer.each([1]):
            with timer.paused():
                time.sleep(0.1)
        assert timer.take()[1] < 0.1

    def test_passes_on_what_it_is_given(self):
        assert list(Timer().each("abc")) == ["a", "b", "c"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00:00"), (3723, "1:02:03"), (90000, "1 day, 1:00:00")])
def test_hours(seconds, text):
    assert hours(seconds) == text


class Clock:
    """Time that passes only where the test says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("workers", "waits", "held_up"),
    [
        (0, [0.5] * 60, 60),  # the network waits as long as it works
        (1, [0.1] * 60, 0),  # a tenth of the time: no bottleneck
        (1, [0.5] * 30 + [0.0] + [0.5] * 20, 20),  # in a row
        (1, [0.0] * 59 + [30.0], 1),  # one long wait, the disk's perhaps
        (4, [2.0, 0.0, 0.0, 0.0] * 15, 60),  # four workers are ready at one moment: three steps in four do not wait
        (4, [0.4, 0.0, 0.0, 0.0] * 15, 0),  # 0.4 of 2.4 s
        (4, [2.0, 0.0, 0.0, 0.0, 2.0, 0.0], 4),  # only whole rounds
    ],
)
def test_timer_counts_the_steps_that_the_reader_holds_up(workers, waits, held_up, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    timer = Timer(workers)
    for _ in timer.each(clock.spend(wait) for wait in waits):
        clock.spend(0.5)
    assert timer.held_up == held_up


def test_an_evaluation_does_not_hide_a_slow_reader(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    timer = Timer(1)
    for _ in timer.each(clock.spend(0.5) for _ in range(3)):
        clock.spend(0.5)
        with timer.paused():
            clock.spend(100)
    assert timer.held_up == 3
