"""What a jackknife says of a number without some people, against the number measured without them.

The benchmark runs again on the same folder, in which some people have left the split, or without
some of the samples; everything else is as before. So a source of error that was left out by
halves, on one side of two, or in the wrong scale, is another number here.
"""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from light_networks import lighten, write_light_weights
from people import SPLITS, Cells, People, Tokens

from benchmarks import evaluate
from benchmarks.metrics import METRICS
from benchmarks.weights import KNOWN

pytestmark = pytest.mark.usefixtures("no_effnet")

PEOPLE = {"train": 33, "valid": 11, "test": 33}
EVERY, BLOCKS, SAMPLES = 10_000, 20, 57
SETTINGS = {
    "reconstruction.images": EVERY,
    "probes.train": EVERY,
    "probes.valid": EVERY,
    "probes.test": EVERY,
    "latent.images": EVERY,
    "latent.training": EVERY,
    "latent.moved": 1,
    "samples.count": SAMPLES,
    "unconditional.reference": EVERY,
    "unconditional.frechet_error": True,
}
TRAIN, ELSEWHERE, TEST = range(3)  # the number of a split; `valid` takes those who leave another


class Smooth(Cells):
    """Has a map alone: what it makes of an image depends on no noise. Its samples are those of some
    indices.
    """

    name = title = fingerprint = "smooth"
    capabilities = Cells.capabilities - {"stochastic"}
    latent_dim = Cells.semantic_dim
    kept = np.arange(SAMPLES)

    def decode(self, code, steps=100):
        return 0.9 * self._large(code.semantic) + 0.1 * self._large(code.semantic).square()

    def sample_latents(self, indices, seed, steps):
        return super().sample_latents([int(self.kept[i]) for i in indices], seed, steps)


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def people():
    return People.drawn(PEOPLE, dict.fromkeys(SPLITS, 3))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The numbers of these people by (table, system, setting, metric)."""

    def measure(people, tasks, systems=None, **changes):
        folder = people.write(tmp_path_factory.mktemp("people") / "portraits")
        settings = SETTINGS | changes.pop("settings", {})
        how = {"settings": settings, "progress": False} | changes
        found = evaluate(systems or Smooth(), tasks, folder, "smoke", **how)
        return {(r.table, r.system, r.setting, r.metric): r for r in found.rows}

    return measure


def units(row, kind):
    """The influences of a row's units of that kind."""
    found = {part.units.partition(":")[0]: part.values for part in row.estimate.influences}
    return found[kind]


def leaving(people, split, persons, to=ELSEWHERE):
    """The same folder, in which these persons of a split are in another."""
    gone = np.isin(people.person, persons) & (people.split == split)
    return replace(people, split=np.where(gone, to, people.split))


def blocks_of(person):
    """The block of each picture: persons in ascending order are dealt to the blocks in turn."""
    return np.unique(person, return_inverse=True)[1] % BLOCKS


def check_jackknife(influence, value, without, shares, tolerance):
    """Of pseudo-values for blocks of unequal size (Busing, Meijer and van der Leeden, 1999): with
    f the share of a block and p = value - (1 - f) without, influence = (p - f sum(p)) /
    sqrt(1 - sum(f^2)). `without` has the numbers of some blocks; sum(p) is that of the first.
    """
    assert influence.sum() == pytest.approx(0, abs=1e-4 * np.abs(influence).sum())
    root = math.sqrt(1 - np.square(shares).sum())
    own = {block: value - (1 - shares[block]) * left for block, left in without.items()}
    first, *others = own
    total = (own[first] - influence[first] * root) / shares[first]
    for block in others:
        expected = (own[block] - shares[block] * total) / root
        assert influence[block] == pytest.approx(expected, abs=tolerance * np.abs(influence).max())
    assert others
    # Their sum estimates the number itself.
    assert total == pytest.approx(value, abs=12 * np.linalg.norm(influence))


# ----------------------------------------------------------------------------------------------
# Persons


PROTOCOLS = ["plain", "rae", "maskbit", "torchmetrics-1.7"]
LINEAR = ("accuracy", "ssim", "ssim_valid", "mse", "psnr", "lpips", "spectrum_kl")


def test_a_number_without_a_person_is_what_its_influence_says(people, rows):
    """Exact for means; AUROC, average precision and the PSNR of all images are not linear in them."""
    tasks = ["reconstruction", "probes"]
    how = {"protocol": PROTOCOLS}
    before = rows(people, tasks, **how)
    of = people.person[people.split == TEST]
    persons, sizes = np.unique(of, return_counts=True)
    k, n, seen = len(persons), len(of), set()
    for place in (int(np.argmax(sizes)), int(np.argmin(sizes))):
        # probes fit on "valid" too, which must stay as it is
        gone = ~((people.person == persons[place]) & (people.split == TEST))
        after = rows(people.kept(gone), tasks, **how)
        for key, row in before.items():
            if not any(part.units.startswith("persons") for part in row.estimate.influences):
                continue
            influence = units(row, "persons")
            scale = (n - sizes[place]) / n * math.sqrt(k / (k - 1))
            change = (row.value - after[key].value) * scale
            _, _, setting, metric = key
            exact = metric in LINEAR or METRICS[metric].stands_in_for in LINEAR
            exact = exact and setting != "torchmetrics-1.7"
            largest = np.abs(influence).max()
            allowed = 1e-4 * largest if exact else 0.15 * abs(change) + 0.06 * largest
            assert influence[place] == pytest.approx(change, abs=allowed), key
            seen.add(metric)
    assert {"auroc", "ap", "accuracy", "psnr", "ssim", "mse"} <= seen


# ----------------------------------------------------------------------------------------------
# Blocks of people: sets of images beside their originals


@pytest.mark.parametrize("system", [Smooth, Tokens])
def test_a_set_without_a_block_of_people(people, rows, system):
    """Distances to the originals, from which a block is left out on both sides; moved codes; the
    perplexity of tokens.
    """
    tasks, system = ["reconstruction", "latent"], system()
    before = rows(people, tasks, system)
    of = people.person[people.split == TEST]
    blocks = blocks_of(of)
    shares = np.bincount(blocks, minlength=BLOCKS) / len(of)
    assert len(set(shares.round(6))) > 5
    runs = {b: rows(leaving(people, TEST, of[blocks == b]), tasks, system) for b in (0, 19)}
    seen = set()
    for key, row in before.items():
        if any(part.units.startswith("blocks:") for part in row.estimate.influences):
            without = {block: run[key].value for block, run in runs.items()}
            check_jackknife(units(row, "blocks"), row.value, without, shares, 2e-3)
            seen.add(key[-1])
    expected = {"rkd_effnet", "rfd_effnet", "ikd_effnet", "ifd_effnet"}
    assert seen >= expected | (
        {"perplexity", "pkd_effnet", "pfd_effnet"} if isinstance(system, Tokens) else set()
    )


@pytest.mark.parametrize(
    "protocols", [["plain"], pytest.param(PROTOCOLS, id="several", marks=pytest.mark.slow)]
)
def test_a_set_by_a_protocol_without_a_block_of_people(rows, monkeypatch, tmp_path, protocols):
    """The Frechet distances of protocols, whatever each does to the pixels."""
    people = People.drawn({"train": 2, "valid": 1, "test": 21}, dict.fromkeys(SPLITS, 3))
    lighten(monkeypatch)
    weights = write_light_weights(tmp_path / "weights")
    for trunk in ("alexnet", "vgg16"):  # not needed, and images are too small for them
        (weights / KNOWN[trunk].files[-1].filename).unlink()
    how = {"protocol": protocols, "features": ["efficientnet-lite0"], "weights_dir": weights}
    task, how["allow_unknown_weights"] = "reconstruction", True
    before = rows(people, task, **how)
    of = people.person[people.split == TEST]
    blocks = blocks_of(of)
    shares = np.bincount(blocks, minlength=BLOCKS) / len(of)
    runs = {b: rows(leaving(people, TEST, of[blocks == b]), task, **how) for b in (0, 19)}
    seen = set()
    for key, row in before.items():
        if key[0] == "reconstruction_by_protocol" and key[-1] == "rfid" and row.value is not None:
            without = {block: run[key].value for block, run in runs.items()}
            check_jackknife(units(row, "blocks"), row.value, without, shares, 2e-3)
            seen.add(key[2])
    assert seen == set(protocols)


def halves():
    """The blocks [19, 20] in the first half of each split: the squares modulo 19, shifted, and the last."""
    squares = np.isin(np.arange(19), np.arange(1, 19) ** 2 % 19)
    return np.column_stack([[np.roll(squares, s) for s in range(19)], np.ones(19, bool)])


# ----------------------------------------------------------------------------------------------
# Blocks of two sides


def test_two_sets_without_a_block_of_either(people, rows):
    """Of the samples, and of the real images on the other side; and the overlap, of half of both."""
    task, system = "unconditional", Smooth()
    before = rows(people, task, system)
    reference = people.person[people.split == TRAIN]
    of_reference, of_samples = blocks_of(reference), np.arange(SAMPLES) % BLOCKS

    def without(samples, real, overlap=1):
        """The run without the blocks for which bool [20] is true; too few images have no overlap."""
        part = Smooth()
        part.kept = np.flatnonzero(~samples[of_samples])
        part.fingerprint = hashlib.sha256(part.kept.tobytes()).hexdigest()
        left = leaving(people, TRAIN, reference[real[of_reference]])
        # only the errors of the whole are looked at
        fewer = {"samples.count": len(part.kept), "unconditional.frechet_error": False}
        fewer["unconditional.overlap"] = overlap
        return rows(left, task, part, settings=fewer)

    nothing = np.zeros(BLOCKS, bool)
    one = {b: np.arange(BLOCKS) == b for b in (0, 17)}
    sides = {
        "blocks of samples": (of_samples, {b: without(out, nothing) for b, out in one.items()}),
        "blocks of reference": (of_reference, {b: without(nothing, out) for b, out in one.items()}),
    }
    ours = {key: row for key, row in before.items() if key[1] == "smooth"}
    for kind, (blocks, runs) in sides.items():
        shares = np.bincount(blocks, minlength=BLOCKS) / len(blocks)
        for key, row in ours.items():
            if row.metric in ("fd_effnet", "kd_effnet"):
                found = {block: run[key].value for block, run in runs.items()}
                check_jackknife(units(row, kind), row.value, found, shares, 2e-3)
    split, seen = 7, set()
    first = halves()[split]
    a, b = (without(out, out, EVERY) for out in (~first, first))
    for key, row in ours.items():
        if key[0] == "unconditional_overlap" and row.stderr is not None:
            expected = (a[key].value - b[key].value) / (2 * math.sqrt(19))
            found = units(row, "blocks, halved")[split]
            assert found == pytest.approx(expected, abs=1e-6), key
            seen.add(row.metric)
    assert len(seen) == 4
