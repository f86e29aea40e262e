"""With one score that is no number, value and error are those of the others."""

import re
from dataclasses import replace

import in_process
import numpy as np
import pytest
import torch
from people import SPLITS, Cells, People
from scipy import stats

from benchmarks import evaluate, measure
from benchmarks.metrics.networks import chosen
from benchmarks.metrics.networks.faces import FaceEmbedding

pytestmark = pytest.mark.usefixtures("no_effnet", "short_fits")

BLACK = -0.99  # images without a face


class CodesAlone(Cells):
    """Decodes nothing: only the rows of real images are measured."""

    capabilities = frozenset({"semantic"})
    latent_dim = Cells.semantic_dim


def embedded(images):
    """The mean colours of the four quarters and how they vary; NaN of a black image."""
    half = images.shape[-1] // 2
    squares = torch.nn.functional.avg_pool2d(images.square(), half).flatten(1)
    found = torch.cat([torch.nn.functional.avg_pool2d(images, half).flatten(1), 3 * squares], 1)
    return torch.where(images.mean((1, 2, 3))[:, None] > BLACK, found, torch.nan)


@pytest.fixture(scope="module", autouse=True)
def faces():
    """A face embedding that finds none in black images, in place of that of the portraits."""
    network = FaceEmbedding("colours", "id_portraits", 16, "0" * 64, embedded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chosen.faces, "id_portraits", lambda *_: network)
        yield


def people_of(pictures):
    """Of so many pictures each, if any; else of unequal numbers."""
    people = People.drawn({"train": 30, "valid": 6, "test": 24}, dict.fromkeys(SPLITS, 1))
    if not pictures:
        return people
    order = np.argsort(people.person, kind="stable")
    _, starts, counts = np.unique(people.person[order], return_index=True, return_counts=True)
    first = [order[s : s + pictures] for s, n in zip(starts, counts, strict=True) if n >= pictures]
    return people.kept(np.sort(np.concatenate(first)))


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    settings = {"identity.images": 10_000, "probes.train": 10_000, "identity.strengths": [0.3]}

    def run(name, people, system=None, **how):
        folder = people.write(tmp_path / name / "portraits")
        how = {"settings": settings, "progress": False, "attributes": ["Male"], "cache": True} | how
        found = evaluate(system or Cells(), "identity", folder, "smoke", **how)
        return {(row.system, row.setting, row.metric): row for row in found.rows}

    return run


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_a_face_that_is_not_found_changes_nothing_but_n(rows, pictures):
    """Of edited images, of pairs of one person and of different people."""
    people = people_of(pictures)
    test = np.flatnonzero(people.split == 2)
    persons = np.unique(people.person[test])
    black = np.zeros(len(people), bool)
    if pictures:  # all pictures of two persons; else which is the first would change
        black[test] = np.isin(people.person[test], persons[[3, 7]])
    else:
        black[test[[0, 5, 6]]] = True
    images = np.where(black[:, None, None, None], 0, people.images).astype(np.uint8)
    with_black = rows("with", replace(people, images=images))
    without = rows("without", replace(people, split=np.where(black, 1, people.split)))
    seen = set()
    for key, row in without.items():
        system, setting, metric = key
        if metric != "id_portraits" or (not pictures and system != "cells"):
            continue
        if pictures == 2 and setting == "different people":  # of first pictures, which are others
            continue
        ours = with_black[key]
        for name in ("value", "stderr", "ci_low", "ci_high"):
            assert getattr(ours, name) == pytest.approx(getattr(row, name), rel=1e-6), (key, name)
        assert ours.n == row.n, key
        if system == "cells":
            assert f"no face found in {black.sum()} of {len(test)} pairs" in ours.note
            (part,), (other,) = (r.estimate.influences for r in (ours, row))
            np.testing.assert_allclose(part.values, other.values, rtol=1e-4, atol=1e-9)
        else:
            assert f"no face found in {black.sum()} of {len(test)} images" in ours.note
        seen.add(setting)
    assert {"Male 0", "Male 0.3"} <= seen
    assert pictures != 1 or "different people" in seen
    assert pictures != 2 or "the same person, another picture" in seen


def test_a_pair_counts_for_both_of_its_people(rows):
    """The mean over all pairs of K people is m, and m' without one of them: each pair has two, so
    that the influence of the one is (m - m') (K - 2) / sqrt(K (K - 1)).
    """
    people, place = people_of(1), 5
    persons = np.unique(people.person[people.split == 2])
    gone = (people.split == 2) & (people.person == persons[place])
    key = ("real images (test)", "different people", "id_portraits")
    row = rows("all", people, CodesAlone())[key]
    after = rows("fewer", replace(people, split=np.where(gone, 1, people.split)), CodesAlone())[key]
    k, (part,) = row.n, row.estimate.influences
    assert k == len(persons) == after.n + 1
    expected = (row.value - after.value) * (k - 2) / np.sqrt(k * (k - 1))
    assert part.values[place] == pytest.approx(expected, rel=1e-5)


def test_faces_that_are_missing_elsewhere_are_other_units(rows):
    """As many of them, but of other persons: not the same images."""
    people = people_of(0)
    test = np.flatnonzero(people.split == 2)
    found = []
    for name, gone in (("a", test[0]), ("b", test[-1])):
        images = people.images.copy()
        images[gone] = 0
        row = rows(name, replace(people, images=images))["cells", "Male 0", "id_portraits"]
        found.append(row.estimate.influences[0].units)
    assert found[0] != found[1]


def test_no_face_at_all_is_a_row_with_the_reason(rows):
    people = people_of(0)
    dark = (people.split == 2)[:, None, None, None]
    found = rows("dark", replace(people, images=np.where(dark, 0, people.images).astype(np.uint8)))
    row = found["cells", "Male 0", "id_portraits"]
    assert row.value is row.stderr is None and "no face found" in row.note


def test_measure_takes_the_error_of_the_pairs_that_are_left(tmp_path):
    """The mean and standard error of SciPy over the pairs with a face in both."""
    from PIL import Image

    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (2, 9, 16, 16, 3), dtype=np.uint8)
    images[0, 2], images[1, 5] = 0, 0
    for side, name in zip(images, "ab", strict=True):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate(side):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    out = in_process.command(
        measure.main, "id_portraits", tmp_path / "a", tmp_path / "b", cache=tmp_path
    )
    as_floats = torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    scores = torch.cosine_similarity(*map(embedded, as_floats), dim=1).double().numpy()
    kept = scores[~np.isnan(scores)]
    assert len(kept) == 7
    said = re.search(r"pairs: (\d+), standard error (\S+)", out.stdout)
    assert said is not None, out.stdout + out.stderr
    assert (int(said[1]), float(said[2])) == (7, pytest.approx(stats.sem(kept), rel=1e-2))
    assert float(out.stdout.split()[-1]) == pytest.approx(kept.mean(), rel=1e-6)
    assert "no face found in 2 of 9 pairs: left out" in out.stdout
