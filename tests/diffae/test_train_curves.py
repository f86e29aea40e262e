"""The curves of a training: every point once, without an effect on the training."""

import io
import math
import sys
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
from refusal import refusal
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_preset import SCHEDULE, TINY
from tiny_training import same, trained, weights
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from diffae.system import distributed, progress
from diffae.train import __main__ as command
from diffae.train import trainer
from diffae.train.callbacks import curves, flags
from diffae.train.callbacks.curves import Curves
from diffae.train.presets import PRESETS, find_preset
from diffae.train.step import learning_rate
from diffae.train.trainer import TrainingCallback, TrainingRun, fit
from diffae.train.types import Outcome, Stage

LONG = replace(SCHEDULE, samples=40, warmup_samples=20)  # ten steps
NAMES = ["gradient norm", "images per second", "learning rate", "loss", "skipped steps"]


class Kill(Exception):
    """What ends a training as if it was killed."""


class Slope:
    """A weight whose loss is its square; `at` says what happens before a step is computed."""

    def __init__(self, at=lambda step: None):
        self.network, self.at, self.calls = nn.Linear(1, 1, bias=False), at, 0
        nn.init.constant_(self.network.weight, 3.0)

    def loss(self, indices, noise):
        self.calls += 1
        self.at(self.calls)
        return self.network.weight.square().sum()

    def stage(self, name):
        return Stage(name, "test", self.network, LONG, self.loss)


def watched(slope, folder, path):
    """Train a slope with curves in `folder`. It is as if killed where its loss raises."""
    callback = Curves(folder)
    fit(slope.stage("image"), 8, path, TrainingRun(0, "me", callbacks=[callback]))


def points(folder, name):
    """Images and value of every point that TensorBoard shows."""
    found = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def test_a_point_has_the_step_s_numbers_by_images_seen(tmp_path):
    slope = Slope()
    watched(slope, tmp_path / "logs", tmp_path / "state")
    stage = tmp_path / "logs" / "image"
    assert sorted(EventAccumulator(str(stage)).Reload().Tags()["scalars"]) == NAMES
    losses, norms = points(stage, "loss"), points(stage, "gradient norm")
    assert [seen for seen, _ in losses] == [4 * step for step in range(1, 11)]
    assert losses[0][1] == pytest.approx(9.0) and norms[0][1] == pytest.approx(6.0)
    rates = [value for _, value in points(stage, "learning rate")]
    assert rates == pytest.approx([learning_rate(LONG, step) for step in range(10)])
    assert all(value > 0 for _, value in points(stage, "images per second"))


def test_a_killed_run_goes_on_in_its_curve_without_a_gap_or_a_doubled_point(tmp_path, monkeypatch):
    """It saves after three steps and is killed in the sixth, when the points of five are on the disk."""
    watched(Slope(), tmp_path / "whole", tmp_path / "a")
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", -1)

    def kill(step):
        if step == 3:
            trainer.SAVE_EVERY_SECONDS = 1e9
        if step == 6:
            raise Kill

    with pytest.raises(Kill):  # nothing is closed
        watched(Slope(kill), tmp_path / "killed", tmp_path / "b")
    more = SummaryWriter(str(tmp_path / "killed" / "image"))
    for lost in (16, 20):  # as if more had come to the disk
        more.add_scalar("loss", 99.0, lost)
    more.close()
    watched(Slope(), tmp_path / "killed", tmp_path / "b")
    whole, again = (points(tmp_path / name / "image", "loss") for name in ("whole", "killed"))
    assert again == whole and len(whole) == 10


def test_each_point_is_on_the_disk_before_the_next_step(tmp_path):
    """A killed run has lost none of the steps that its saved state contains."""
    callback, counts = Curves(tmp_path / "logs"), []

    class Reader(TrainingCallback):
        def step(self, loss):
            counts.append(len(points(tmp_path / "logs" / "image", "loss")))

    run = TrainingRun(0, "me", callbacks=[callback, Reader()])
    fit(Slope().stage("image"), 8, tmp_path / "state", run)
    assert counts == [*range(1, 11)]


def test_a_stage_that_is_over_gets_no_point_when_the_training_goes_on(tmp_path):
    watched(Slope(), tmp_path / "logs", tmp_path / "state")
    before = points(tmp_path / "logs" / "image", "loss")
    watched(Slope(), tmp_path / "logs", tmp_path / "state")
    assert points(tmp_path / "logs" / "image", "loss") == before


class Kept(Curves):
    """Curves that are kept."""

    def __init__(self, folder):
        super().__init__(folder)
        self.points = []

    def scalars(self, values):
        self.points.append((self._training.seen, values))


def test_a_step_that_is_not_finite_is_counted_and_in_no_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "POINTS", 5)  # of ten steps: two steps a point
    slope, kept = Slope(), Kept(tmp_path)

    def loss(indices, noise):
        slope.calls += 1
        bad = math.nan if slope.calls == 4 else 1.0
        return bad * slope.network.weight.sum()

    stage = replace(slope.stage("image"), loss=loss)
    fit(stage, 8, tmp_path / "s", TrainingRun(0, "me", callbacks=[kept]))
    assert [seen for seen, _ in kept.points] == [8, 16, 24, 32, 40]
    second = kept.points[1][1]
    assert second["skipped steps"] == 1 and 2.9 < second["loss"] <= 3.0
    assert second["gradient norm"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "steps, every", [(10, 1), (2_000, 4), (2_001, 4), (2_003, 4), (100_000, 100)]
)
def test_a_point_is_the_mean_since_the_one_before(tmp_path, steps, every):
    """Also the last one, where the interval does not divide the stage."""
    kept, schedule = Kept(tmp_path), replace(SCHEDULE, samples=4 * steps)
    training = SimpleNamespace(step=0, seen=0, seconds=0.0, norm=1.0, skipped=0, schedule=schedule)
    kept.begins(training, Slope().stage("image"))
    for step in range(1, steps + 1):
        training.step, training.seen, training.seconds = step, 4 * step, (step / every) ** 2
        kept.step(float(step))
    places = sorted({*range(every, steps + 1, every), steps})
    assert [seen for seen, _ in kept.points] == [4 * place for place in places]
    assert kept.points[-1][1]["loss"] == pytest.approx((places[-2] + 1 + steps) / 2)
    rates = [values["images per second"] for _, values in kept.points[:9]]
    assert rates == pytest.approx([4 * every / (2 * n - 1) for n in range(1, 10)])


# ----------------------------------------------------------------------------------------------
# The command


def test_a_package_that_is_not_there_is_said_before_anything_is_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, portraits=12))
    line = refusal(command.main, capsys, "tiny", "--out", tmp_path / "out", "--tensorboard")
    assert "--tensorboard" in line and "pip install" in line
    assert not (tmp_path / "out").exists()


def test_only_the_main_process_logs(tmp_path, monkeypatch):
    args, preset = SimpleNamespace(tensorboard=True), find_preset("vqgan-portraits")
    assert len(flags.callbacks_of(args, preset, tmp_path, None, None)) == 1
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert not flags.callbacks_of(args, preset, tmp_path, None, None)


def test_a_training_that_is_watched_is_the_training(tmp_path):
    callback = Curves(tmp_path / "logs")
    plain, seen = trained(tmp_path / "plain"), trained(tmp_path / "seen", callbacks=[callback])
    assert same(weights(plain), weights(seen))
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"image", "latent"}


# ----------------------------------------------------------------------------------------------
# How far it is


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(monkeypatch, terminal: bool, rank: int = 0) -> str:
    """What a stage of ten steps, a minute each, says on standard error."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress.Progress("tiny: autoencoder", "images", 40) as shown:
        for _ in range(10):
            now[0] += 31
            shown.add(4, loss="0.5000", skipped=2)
    return stderr.getvalue()


def test_a_terminal_has_a_bar_with_loss_rate_and_time_left(monkeypatch):
    last = said(monkeypatch, terminal=True).split("\r")[-1]
    assert "tiny: autoencoder" in last and "40/40" in last and "loss=0.5000" in last
    assert "images/s" in last and "<" in last and "skipped=2" in last


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch):
    lines = said(monkeypatch, terminal=False).splitlines()
    assert len(lines) == 5
    assert lines[1] == (
        "tiny: autoencoder: 16 of 40 images, loss 0.5000, skipped 2, 0.129 images/s, 03:06 left"
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_of_several_processes_one_says_how_far_it_is(monkeypatch, terminal):
    assert said(monkeypatch, terminal, rank=1) == ""


def test_a_line_tells_the_late_loss_and_the_rate_since_a_training_went_on(
    tmp_path, monkeypatch, capsys
):
    """Four steps of a second each, killed, and six of two seconds. Of late: 0.98 of the average and
    0.02 of the loss, of steps taken.
    """
    now, losses, kept = [0.0], [9.0, math.nan, 4.0, 1.0, *6 * [2.0]], Kept(tmp_path)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", -1)

    def pace(step: int) -> int:
        return 1 if step < 5 else 2

    def go_on(first: int, last: int):
        network, steps = nn.Linear(1, 1, bias=False), count(first)

        def loss(indices, noise):
            if (step := next(steps)) > last:
                raise Kill
            now[0] += pace(step)
            return losses[step - 1] + 0 * network.weight.sum()

        stage = Stage("image", "tiny", network, LONG, loss)
        return fit(stage, 8, tmp_path / "state", TrainingRun(0, "me", callbacks=[kept]))

    with pytest.raises(Kill):
        go_on(1, last=4)
    outcome = go_on(5, last=10)
    average, words = 9.0, []
    for step, value in enumerate(losses, 1):
        if step not in (1, 2, 5):
            average = 0.98 * average + 0.02 * value
        average = value if step == 5 else average
        rate, left = f"{4 // pace(step)} images/s", f"00:{(10 - step) * pace(step):02} left"
        skipped = int(step > 1)
        words.append(
            f"tiny: {4 * step} of 40 images, loss {average:.4f}, skipped {skipped}, {rate}, {left}"
        )
    said = [line for line in capsys.readouterr().err.splitlines() if " images, loss " in line]
    assert said == words
    assert outcome == Outcome("float32", 1, 40, 16.0)
    assert [values["skipped steps"] for _, values in kept.points] == [0, *9 * [1]]
    assert [values["images per second"] for _, values in kept.points] == [*4 * [4], *6 * [2]]
