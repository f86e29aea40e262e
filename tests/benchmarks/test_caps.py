"""Every benchmark with each of its caps below the data: the units of a row are the images that it was made of.

Where a cap is above the data, positions among the images that are taken are often their indices too, and a row
whose influences are given to other images passes every test. Here all other images of the splits that the units
of a row belong to are exchanged: its value stays as it is.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from lone_context import small_context
from PIL import ImageOps
from registered import OF_IMAGES, caps, every_benchmark
from small_systems import SMALL_SIZES, Everything, with_truth, write_people

from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics import units
from benchmarks.metrics.networks.faces import FaceEmbedding
from diffae.data import open_dataset
from diffae.data.partition import SPLITS

pytestmark = pytest.mark.usefixtures("no_effnet", "short_fits")

GREY = 0.05
CAP = 10  # of a setting that SMALL_SIZES does not name: fewer than the images of each split
FEW = {"representation.labels": (16, 32), "representation.draws": 2, "variation.draws": 2}
SIZES = {**SMALL_SIZES, **FEW, "representation.coded": 40, "fewshot.frechet_error": True}
OF_PAIRS = {
    "appendix_f_smoothness",
    "edits_by_attribute",
}  # units of two images, or scores of few values
# Its errors are of quantiles, and by no unit: the images that its caps take.
WITHOUT_UNITS = {
    "memorisation": {"train": SIZES["memorisation.train"], "test": SIZES["samples.count"]}
}
TASKS = sorted({*every_benchmark()} - {"cost"})  # its numbers are of operations


@dataclass(frozen=True)
class Exchanged:
    """An image source some of whose images are negatives."""

    source: object
    places: frozenset[int]

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __len__(self):
        return len(self.source)

    def read(self, index):
        image = self.source.read(index)
        return ImageOps.invert(image) if index in self.places else image


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Images without persons, so that each is a unit of its own."""
    with pytest.MonkeyPatch.context() as patch:
        with_truth(patch)
        data = open_dataset(write_people(tmp_path_factory.mktemp("data") / "people"), 24)
        yield replace(data, identities=None)


@pytest.fixture
def known(monkeypatch):
    """The images [n] behind each name of units, as they are recorded while names are made."""
    arrays, images = {}, {}

    def digest(*parts):
        name = of_arrays(*parts)
        arrays[name] = parts[0]
        return name

    def units_of(kind, *what):
        name = of_units(kind, *what)
        digests = [part for part in what if isinstance(part, str) and part in arrays]
        if digests and kind != "draws":
            images[name] = arrays[digests[-1]]
        return name

    of_arrays, of_units = units.digest, units.units_of
    ours = [module for name, module in sys.modules.items() if name.startswith("benchmarks.")]
    for module in (m for m in ours if {"digest", "units_of"} <= vars(m).keys()):
        monkeypatch.setattr(module, "digest", digest)
        monkeypatch.setattr(module, "units_of", units_of)
    return images


def faces(images):
    """Mean colours; in a grey image no face is found, nor in its negative."""
    colours = torch.nn.functional.avg_pool2d(images, 8).flatten(1)
    is_grey = colours.mean(1, keepdim=True).abs() < GREY
    return torch.where(is_grey, torch.nan, colours)


@torch.no_grad()
def measured(name, data, folder):
    context = small_context(data, folder, dict.fromkeys(caps(), CAP) | SIZES)
    context.pictures = None
    context.networks.face = FaceEmbedding("faces", "id_portraits", 32, "0" * 64, faces)
    numbers = rows(REGISTRY.get(name), context, [Everything()])
    return {(r.table, r.system, r.setting, r.steps, r.solver, r.metric): r for r in numbers}


def others(data, places):
    """All other images of the splits that these are in, without those that classifiers are fitted on."""
    fitted = data.ordered("train", 0)[: SIZES["probes.train"]]
    same = np.isin(data.partition, data.partition[places])
    return np.setdiff1d(np.flatnonzero(same), np.union1d(places, fitted))


def exchanged(data, places, name):
    """The data with other pixels in these places, and other labels where these do not choose the images."""
    attributes = data.attributes.copy()
    if name != "edits":
        attributes[places] ^= True
    return replace(data, source=Exchanged(data.source, frozenset(places)), attributes=attributes)


@pytest.mark.parametrize("name", TASKS)
def test_units_are_the_images_that_a_number_is_made_of(name, people, known, tmp_path):
    base = measured(name, people, tmp_path / "base")
    of_images = {}
    for key, row in base.items():
        parts = [known[part.units] for part in row.estimate.influences if part.units in known]
        if parts:
            places = np.unique(np.concatenate(parts))
            of_images.setdefault(tuple(places.tolist()), []).append(key)
    if name in WITHOUT_UNITS:
        taken = [people.ordered(split, 0)[:count] for split, count in WITHOUT_UNITS[name].items()]
        of_images[tuple(np.concatenate(taken).tolist())] = [
            k for k, row in base.items() if row.value is not None
        ]
    assert of_images
    for number, (places, keys) in enumerate(of_images.items()):
        rest = others(people, list(places))
        if {key[-1] for key in keys} == {"code_length"}:  # its images are of all splits
            rest = np.setdiff1d(np.arange(len(people)), places)
        splits = {SPLITS[base[key].split] for key in keys if base[key].split in SPLITS}
        assert not splits or splits == {*people.partition[list(places)]}, keys
        assert len(rest), keys
        again = measured(name, exchanged(people, rest, name), tmp_path / str(number))
        middle = places[len(places) // 2]
        moved = measured(name, exchanged(people, [middle], name), tmp_path / f"{number} one")
        for key in keys:
            assert again[key].value == pytest.approx(base[key].value, rel=1e-6, abs=1e-9), key
            if key[-1] in OF_IMAGES and key[0] not in OF_PAIRS and len(places) > 2:
                (old,), (new,) = (rows[key].estimate.influences for rows in (base, moved))
                change = np.abs(new.values - old.values)
                assert np.unique(known[old.units])[change.argmax()] == middle, key
