"""Several feature networks (--features): each metric on features is measured with each of them, and no
image is made twice.

The networks are two means of colours under the names of Inception and EfficientNet-lite0.
"""

from dataclasses import replace

import pytest
import torch
from colours import Painter, features
from torch import nn

from benchmarks import evaluate, weights
from benchmarks.metrics.networks.chosen import EFFNET, FEATURES
from benchmarks.systems.protocol.base import DECODE, ENCODE, SAMPLE, SAMPLE_LATENTS, SEMANTIC
from benchmarks.tasks.fewshot import sampling
from diffae.data.portraits import write_dataset
from probes import LinearProbe
from reports.records.record import Record

pytestmark = pytest.mark.usefixtures("no_effnet")
BENCHMARKS = ["reconstruction", "unconditional", "memorisation", "fewshot"]
METRICS_OF = {
    "inception": {"rfid", "kid", "fid", "fid_seed_std", "nn_inception", "nn_ratio_inception"},
    EFFNET: {
        "rfd_effnet",
        "kd_effnet",
        "fd_effnet",
        "fd_effnet_seed_std",
        "nn_effnet",
        "nn_ratio_effnet",
    },
}
PLACE = ("benchmark", "table", "system", "setting", "steps", "metric")
Place = tuple[object, ...]


class CountedPainter(Painter):
    """Decodes mean colours, and counts the images."""

    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, SAMPLE, SAMPLE_LATENTS})
    image_size, decoded = 32, 0

    def decode(self, code, steps=100):
        CountedPainter.decoded += len(code.semantic)
        return code.semantic[:, :, None, None].expand(-1, 3, 32, 32).clone()


class UpperHalf(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, : images.shape[2] // 2].mean((2, 3)) ** 2


def unsure(*_: object) -> LinearProbe:
    """A few-shot classifier that accepts half of what it sees; a fit takes a second."""
    return LinearProbe(torch.zeros(1, 3), torch.zeros(1), torch.zeros(3), torch.ones(3))


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Rows of BENCHMARKS with feature networks of these names, and the number of images decoded."""
    names = {"name": "upper half", "metric_name": "fid", "network": "inception"}
    upper = replace(features(), module=UpperHalf(), **names)
    monkeypatch.setitem(FEATURES, "inception", lambda *_: upper)
    monkeypatch.setattr(sampling, "classifier", unsure)
    write_dataset(tmp_path / "portraits", 60, 32, workers=1)
    (tmp_path / weights.KNOWN["inception"].files[0].filename).write_bytes(b"")
    given = {"weights_dir": tmp_path, "allow_unknown_weights": True, "limit": 24}
    given["settings"] = {
        "fewshot.binary_k": 1,
        "fewshot.pu_positives": 1,
        "fewshot.pu_unlabeled": 2,
    }

    def run(*names: str) -> tuple[dict[Place, Record], int]:
        CountedPainter.decoded, data = 0, tmp_path / "portraits"
        found = evaluate(CountedPainter(), BENCHMARKS, data, "smoke", features=names, **given)
        rows = {tuple(getattr(row, name) for name in PLACE): row for row in found.rows}
        return rows, CountedPainter.decoded

    return run


def test_each_network_has_the_rows_of_a_run_with_it_alone(measured):
    both, decoded = measured("inception", EFFNET)
    for name, metrics in METRICS_OF.items():
        alone, decoded_alone = measured(name)
        assert decoded == decoded_alone > 0
        assert metrics <= {row.metric for row in alone.values() if row.value is not None}
        assert alone.keys() <= both.keys()
        for place, row in alone.items():
            found = both[place]
            assert (found.value, found.stderr, found.n) == (row.value, row.stderr, row.n)
