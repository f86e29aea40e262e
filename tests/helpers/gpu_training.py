"""A training in half precision, with recomputation and a pause, against the same in float32.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_training float16 FOLDER

prints a JSON object: losses, norms of the gradient and scales of the loss by step, with and without
the pause, and how far the weights are from those of float32, as a share of how far these moved.
"""

import copy
import json
import sys
from pathlib import Path

import torch
from tiny_preset import TINY, pictures

from diffae.model import DiffusionAutoencoder
from diffae.train.images import Images
from diffae.train.stages import image_stages
from diffae.train.step import Training, batch_indices
from diffae.train.types import FLOAT32, Steps

STEPS, PAUSE, GROWTH = 8, 5, 3  # the scale grows after three steps without an overflow
COUNT = 8


class Trained:
    """A training of the tiny model from `weights`, and what it told in each step."""

    def __init__(self, weights: dict[str, torch.Tensor], precision: str, recompute: bool):
        model = DiffusionAutoencoder(TINY.model)
        model.load_state_dict(weights)
        (stage,) = image_stages(TINY, model.to("cuda"), Images(pictures(COUNT), False, "cuda"))
        self.loss, self.schedule = stage.loss, stage.schedule
        steps = Steps(by_example=True, recompute=recompute, micro_batch=2 if recompute else None)
        self.training = Training(stage.network, stage.schedule, 0, precision, steps=steps)
        if self.training.scaler.is_enabled():
            self.training.scaler.set_growth_interval(GROWTH)
        self.told: list[tuple[float, float, float]] = []

    def take(self, steps: int) -> "Trained":
        for _ in range(steps):
            indices = batch_indices(COUNT, self.schedule.batch_size, 0, self.training.step)
            loss = self.training.advance(self.loss, indices)
            self.told.append((loss, self.training.norm, self.training.scaler.get_scale()))
        return self

    def weights(self) -> torch.Tensor:
        return torch.cat([p.detach().cpu().flatten() for p in self.training.parameters])


def main(precision: str, folder: Path) -> dict[str, object]:
    torch.manual_seed(0)
    model = DiffusionAutoencoder(TINY.model)
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)  # nothing starts at zero
    state = copy.deepcopy(model.state_dict())
    start = Trained(state, FLOAT32, False).weights()
    whole = Trained(state, FLOAT32, False).take(STEPS)
    at_once = Trained(state, precision, True).take(STEPS)
    first = Trained(state, precision, True).take(PAUSE)
    first.training.save(folder / "state", "me")
    second = Trained(state, precision, True)
    second.training.load(folder / "state", "me")
    second.take(STEPS - PAUSE)
    moved = (whole.weights() - start).norm()
    return {
        "float32": whole.told,
        "at once": at_once.told,
        "paused": first.told + second.told,
        "same weights": torch.equal(at_once.weights(), second.weights()),
        "distance": float((at_once.weights() - whole.weights()).norm() / moved),
        "skipped": at_once.training.skipped,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
