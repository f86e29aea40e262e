"""Edits of images without a truth, and by protocols, of systems for which the numbers are known.

Images have one colour, and so has what is decoded; codes and features are that colour.
"""

from dataclasses import replace
from functools import partial

import colours
import numpy as np
import pytest
import torch
from colours import SquaredError
from systems import Coloured, noted

from benchmarks.commands.planned import collect
from benchmarks.core import store
from benchmarks.core.images import features_of
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.networks.chosen import DISTANCES
from benchmarks.metrics.protocols import edits as edit_protocols
from benchmarks.metrics.sets.jackknife import Side
from benchmarks.plugin import Estimate, Part, Place, Variant
from benchmarks.runtime.choices import TaskOptions
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import Code
from benchmarks.tasks.edits import by_protocol, classifier, directions, edits, unpaired
from benchmarks.tasks.edits.decoded import Ground
from benchmarks.tasks.edits.directions import MEANS, PAPER
from benchmarks.tasks.edits.unpaired import OTHER_HALF, UNEDITED, Unpaired, strengths
from benchmarks.tasks.shared.distances import set_estimates
from benchmarks.tasks.shared.probe_fits import fit_adam, prevalent, probe_of, stratified
from probes import LinearProbe

SMALL = {
    **{"edits.images": 48, "edits.directions": (PAPER, MEANS), "edits.classifier": 90},
    **{"probes.train": 90, "probes.valid": 12, "probes.test": 36},
}
PROTOCOLS = ("diffae-edits", "e4e-lec", "counterfactual-benchmark")


class Colour(Coloured):
    """The code is the colour, times `scale`; what is decoded is brighter by `offset`."""

    def __init__(self, scale=1.0, offset=0.0):
        name = f"{type(self).__name__} {scale} {offset}"
        super().__init__(name, lambda colour: scale * colour, lambda z: z / scale + offset)


class Constant(Colour):
    """It forgets the image."""

    def encode_semantic(self, images):
        return torch.ones(len(images), 3)


class Rough(Colour):
    """It rounds colours to eighths."""

    def decode(self, code, steps=100):
        return (super().decode(code) * 8).round() / 8


@pytest.fixture(scope="module", autouse=True)
def quick(no_effnet, short_fits):
    """Networks and classifiers that cost nothing."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """200 colours, half of them red, two pictures of each person, of either class."""
    red = np.random.default_rng(1).permutation(200) % 2 == 0
    found = colours.dataset(tmp_path_factory.mktemp("colours"), red)
    return replace(found, identities=np.arange(200) // 2)


@pytest.fixture
def context(dataset, tmp_path):
    found = colours.context_of(dataset, tmp_path, SMALL)
    return replace(found, benchmark="edits", networks=found.networks)


def measured(context, system, protocols=(), **settings):
    """The rows by setting and metric."""
    settings = {f"edits.{name}": value for name, value in settings.items()}
    options = TaskOptions(edit_protocols=protocols)
    profile = context.profile.changed_by(settings)
    context = replace(context, profile=profile, options=options)
    system = checked.Checked(system.name, system, torch.device("cpu"))
    return {(r.setting, r.metric): r for r in rows(edits.BENCHMARK, context, [system])}


def ground_of(context, system):
    """The ground of the images of a run."""
    variant, images = Variant.of(context, system, None, None), context.select("test", 48)
    place = Place(context, "edits", variant, n=len(images))
    return Ground(place, images, 2, classifier.fit(context, 90))


# ----------------------------------------------------------------------------------------------
# How far an edit goes


@pytest.mark.parametrize("quantile", [0.5, 0.8])
@pytest.mark.parametrize("own", [True, False])
def test_an_edit_brings_the_classifier_to_the_quantile_of_the_other_class(own, quantile):
    """Along its own direction, and along another; images past it stay."""
    rng = np.random.default_rng(0)
    features = torch.from_numpy(3 * rng.standard_normal((60, 5)) + 7).float()
    present = rng.random(60) < 0.4
    weight = torch.from_numpy(rng.standard_normal((2, 5))).float()
    other = weight + torch.from_numpy(0.3 * rng.standard_normal((2, 5))).float()
    moments = features.mean(0), features.std(0)
    paper = LinearProbe(weight, torch.tensor([0.3, -0.2]), *moments)
    along = paper if own else LinearProbe(other, torch.zeros(2), *moments)
    by = strengths(paper, along, 1, features, present, quantile)
    before = paper.logits(features)[:, 1].numpy()
    moved = features + along.move(1, torch.from_numpy(by).float())
    after = paper.logits(moved)[:, 1].numpy()
    aim = np.quantile(before[present], quantile), np.quantile(before[~present], 1 - quantile)
    expected = np.where(present, np.minimum(before, aim[1]), np.maximum(before, aim[0]))
    np.testing.assert_allclose(after, expected, atol=1e-5)
    assert (by == 0).any() and (by > 0).any() and (by < 0).any()
    if own:
        w = np.linalg.norm(weight[1].numpy())
        edited = (~present) & (by > 0)
        formula = (aim[0] - before[edited]) / (np.sqrt(5) * w)
        np.testing.assert_allclose(by[edited], formula, rtol=1e-5)


def test_a_direction_that_cannot_has_no_strengths():
    features, present = torch.randn(20, 3), np.arange(20) < 10
    probe = LinearProbe(torch.eye(3), torch.zeros(3), torch.zeros(3), torch.ones(3))
    for weight in (-torch.eye(3), torch.eye(3)[[1, 2, 0]], torch.zeros(3, 3)):
        along = replace(probe, weight=weight)
        assert not len(strengths(probe, along, 0, features, present))


def test_a_direction_that_cannot_has_a_reason(context, monkeypatch):
    """In chunks; what needs no edit is measured."""
    monkeypatch.setattr(store, "CHUNK", 10)
    monkeypatch.setattr(unpaired, "strengths", lambda *_: np.zeros(0))
    found = measured(context, Colour(), PROTOCOLS)
    for key in ((f"Male, {PAPER}", "lec"), (f"counterfactual-benchmark, Male, {PAPER}", "f1")):
        assert found[key].value is None and found[key].note == unpaired.NOT_RAISED
    assert found["no edit, encoded 1 x", "composition"].value == 0
    assert found["e4e-lec, Male", "lec_frobenius"].value is not None
    assert (PAPER, "lec") not in found


# ----------------------------------------------------------------------------------------------
# Without a truth


def test_a_code_that_is_the_image(context):
    found = measured(context, Colour(), times=10)
    for m in (1, 2, 10):
        assert found[f"no edit, encoded {m} x", "composition"].value == 0
    for name in (PAPER, MEANS):
        for setting in (f"Male added, {name}", f"Male removed, {name}", name):
            assert found[setting, "lec"].value == pytest.approx(0, abs=1e-6)
            assert found[setting, "reversibility"].value == pytest.approx(0, abs=1e-12)
            assert found[setting, "on_target"].value > 0.9
            assert found[setting, "kd_effnet"].stderr > 0
        assert found[name, "direction_consistency"].value > 0.9
        assert found[name, "direction_consistency"].stderr is None
        assert "no error: " in found[f"Male, {name}", "direction_consistency"].note
    reason = found["", "off_target"]
    assert reason.value is None and "effectiveness and leak_out need" in reason.note
    assert sum(row.value is None for row in found.values()) == 1


def test_the_distance_of_edited_images_is_beside_that_of_unedited_and_of_real_ones(
    context, dataset
):
    """The edit is far nearer than nothing done; real images are nearest. All are of as many."""
    found = measured(context, Colour())
    test = context.select("test", 48)
    red, features = test.labels[:, 0], colours.colours_of(dataset, test.order)
    for on, side in edits.SIDES.items():
        edit, nothing, real = (
            found[f"Male {side}, {label}", "kd_effnet"] for label in (PAPER, UNEDITED, OTHER_HALF)
        )
        _, member = np.unique(test.groups[red == on], return_inverse=True)
        halves = [features[red == on][member % 2 == k] for k in (0, 1)]
        n = min(*map(len, halves), (red != on).sum())
        assert n > 8 and edit.n == nothing.n == real.n == n
        assert not edit.reference and nothing.reference and real.reference
        others = features[red != on][:n]
        assert nothing.value == pytest.approx(colours.kernel(others, halves[0][:n]), rel=1e-5)
        assert real.value == pytest.approx(
            colours.kernel(halves[1][:n], halves[0][:n]), rel=1e-4, abs=1e-9
        )
        assert abs(real.value) < 3 * real.stderr
        assert edit.value < nothing.value / 3
    sides = [found[f"Male {side}, {UNEDITED}", "kd_effnet"] for side in edits.SIDES.values()]
    mean = found[UNEDITED, "kd_effnet"]
    assert mean.value == pytest.approx(np.mean([row.value for row in sides]))
    (part,), both = mean.estimate.influences, [row.estimate.influences[0] for row in sides]
    assert {part.units} == {one.units for one in both}
    np.testing.assert_allclose(part.values, (both[0].values + both[1].values) / 2)


def test_positives_in_place_of_edits_are_at_distance_0(context, monkeypatch):
    """Others of the same distribution: within the error; and the error is of blocks of persons on both sides."""
    ground = ground_of(context, checked.Checked("colour", Colour(), torch.device("cpu")))
    images, network = ground.images, colours.features()
    present, rng = images.labels[:, 0], np.random.default_rng(5)
    drawn = np.where(
        present[:, None], colours.colours(48, False, rng), colours.colours(48, True, rng)
    )
    edit = Unpaired(ground, "Male", present, PAPER, fit_adam(context, ground.variant.system))
    made = {network.array: (drawn / 255).astype(np.float32)}
    vars(edit)["job"] = replace(
        edit.job, compute=lambda positions, *_: {k: v[positions] for k, v in made.items()}
    )
    real = context.store.read(context.codes.real_features(images, network))["features"]
    near = partial(unpaired.near_numbers, ground.place, ground.place, network, "kid")
    known = {place.setting: estimate for place, _, estimate in near([edit], real)}
    for side in edits.SIDES.values():
        row = known[f"Male {side}, {PAPER}"]
        assert abs(row.value) < 3 * row.stderr < known[f"Male {side}, {UNEDITED}"].value / 3
        (part,) = row.influences
        assert part.units.startswith("blocks") and len(part.values) == 20
        assert row.stderr == pytest.approx(np.linalg.norm(part.values))
    added = known[f"Male added, {PAPER}"]

    def of_added_alone(*of):
        ((name, estimate),) = set_estimates(*of).items()
        is_added = estimate.value == added.value
        return {name: estimate if is_added else Estimate(estimate.value, n=estimate.n)}

    monkeypatch.setattr(unpaired, "set_estimates", of_added_alone)
    *_, mean = (number for place, _, number in near([edit], real) if place.setting == PAPER)
    assert (mean.value, mean.n, mean.notes) == (added.value, added.n, ("of 1 of 2 edits",))


def test_the_error_of_a_distance_is_its_spread_where_persons_are_on_both_sides(context):
    """Redrawn persons, each with an image in either class, which are alike but for the class. Taken to be
    independent, the sides have a larger error.
    """
    rng, network, estimates = np.random.default_rng(0), colours.features(), []
    for _ in range(60):
        people = rng.normal(0.5, 0.2, (40, 1, 3))
        pair = (people + rng.normal(0, 0.02, (40, 2, 3))).astype(np.float32)
        pair[:, 1] += 0.6
        sides = [Side.of(pair[:, k], np.arange(40) % 20, "blocks") for k in (0, 1)]
        estimates += set_estimates(context, network, ("kid",), *sides).values()
    spread = np.std([estimate.value for estimate in estimates])
    assert np.mean([estimate.stderr for estimate in estimates]) == pytest.approx(spread, rel=0.25)
    apart = [replace(side, units=f"blocks {k}") for k, side in enumerate(sides)]
    (independent,) = set_estimates(context, network, ("kid",), *apart).values()
    assert independent.stderr > 1.4 * estimates[-1].stderr


def test_numbers_do_not_depend_on_chunks(context, monkeypatch, tmp_path):
    whole = measured(context, Colour(128, 0.125), PROTOCOLS)
    monkeypatch.setattr(store, "CHUNK", 10)
    parted = replace(context, store=store.Store(tmp_path / "other"))
    for key, row in measured(parted, Colour(128, 0.125), PROTOCOLS).items():
        known = whole[key].value
        assert known is row.value or row.value == pytest.approx(known, rel=1e-5, abs=1e-9), key


def test_what_cannot_be_measured_has_a_reason(context, dataset):
    class Levels(Colour):
        semantic_parts = (Part.of_tokens((3,), 256),)

        def encode_semantic(self, images):
            return ((images[:, :, 0, 0] + 1) * 127.5).round().long()

        def decode(self, code, steps=100):
            return super().decode(Code(code.semantic / 127.5 - 1))

    class Editing(Colour):
        def edit(self, code, attribute, target, strength):
            return code

    found = measured(context, Levels(), PROTOCOLS)
    for key in ((f"Male, {PAPER}", "lec"), ("e4e-lec, Male", "lec_frobenius")):
        assert found[key].value is None and "tokens" in found[key].note
    assert found["no edit, encoded 1 x", "composition"].value < 1e-5
    own = measured(context, Editing())[f"Male, {directions.OWN}", "lec"]
    assert own.value is None and own.note == unpaired.NO_DIRECTION
    test = dataset.indices("test")
    rare = dataset.attributes.copy()
    rare[test] = dataset.identities[test, None] == dataset.identities[test[0]]
    of_one = replace(dataset, attributes=rare)
    found = measured(replace(context, dataset=of_one), Colour())
    assert found[f"Male, {MEANS}", "lec"].note.startswith("1 people with it, ")
    none = replace(dataset, attributes=np.zeros_like(rare))
    (row,) = measured(replace(context, dataset=none), Colour()).values()
    assert row.value is None and edits.UNEDITABLE in row.note


def test_a_chosen_attribute_of_one_class_has_a_row(context, dataset):
    labels = np.hstack([dataset.attributes, np.zeros_like(dataset.attributes)])
    data = replace(dataset, attributes=labels, attribute_names=("Male", "Bald"))
    options = TaskOptions(attributes=("Male", "Bald"))
    system = checked.Checked("colour", Colour(), torch.device("cpu"))
    context = replace(context, dataset=data, options=options)
    found = {r.setting: r for r in rows(edits.BENCHMARK, context, [system])}
    assert found["Bald"].note == edits.UNEDITABLE and f"Male added, {PAPER}" in found


def test_directions_of_two_halves(context, dataset, monkeypatch):
    """Halves with the same images agree; they are of other persons, and a class that a half lacks is nan."""
    train = context.select("train", 90)
    halves = []
    fitted = directions.fit
    monkeypatch.setattr(
        directions, "fit", lambda *of: halves.append(of[3]) or fitted(*of[:3], np.ones(90, bool))
    )
    system = checked.Checked("colour", Colour(), torch.device("cpu"))
    probes = [
        probe_of(context.store.read(fit)) for fit in directions.fit_halves(context, system, MEANS)
    ]
    assert directions.agreement(context, *probes) == pytest.approx(1)
    a, b = halves
    assert (a != b).all() and not {*train.groups[a]} & {*train.groups[b]}
    assert abs(a.sum() - b.sum()) < 5
    labels = dataset.attributes.copy()
    labels[train.order[a]] = False
    lone = replace(context, dataset=replace(dataset, attributes=labels))
    assert directions.fit_halves(lone, system, MEANS) == []
    assert np.isnan(directions.agreement(lone, *probes)).all()
    weights = torch.tensor([[1.0, 0, 0]]), torch.tensor([[3.0, 4, 0]])
    turned = [replace(probe, weight=w) for probe, w in zip(probes, weights, strict=True)]
    assert directions.agreement(context, *turned) == pytest.approx(0.6)


# ----------------------------------------------------------------------------------------------
# By protocol


def test_the_published_lec_is_in_units_of_the_code_and_ours_is_not(context):
    """A constant encoder misses the step, of length 3. A code of twice the scale has twice the LEC."""

    def of(system):
        found = measured(context, system, ("e4e-lec",))
        ours = found.get((f"Male added, {MEANS}", "lec"))
        if ours:  # also of what is brighter each time
            back = found[f"Male added, {MEANS}", "reversibility"].value
            assert back == pytest.approx(0, abs=1e-9)
        return found["e4e-lec, Male", "lec_frobenius"], ours and ours.value

    constant, nothing = of(Constant())
    assert constant.value == pytest.approx(3, abs=1e-6) and nothing is None
    once, twice = of(Colour(128, 0.125)), of(Colour(256, 0.125))
    assert once[0].value == pytest.approx(16 * np.sqrt(3), rel=1e-5)
    assert twice[0].value == pytest.approx(2 * once[0].value, rel=1e-5)
    assert twice[1] == pytest.approx(once[1], rel=1e-3) and once[1] > 0.1
    assert once[0].n == 48 and once[0].measured_by["lec.batch"] == 8
    few = measured(context, Colour(), ("e4e-lec",), images=7)["e4e-lec, Male", "lec_frobenius"]
    assert few.value is None and few.note == "7 images, fewer than a batch of 8"


def test_the_step_of_the_published_lec_is_normal_to_the_boundary(context):
    """Of a decoder that makes every image as red as any other, what is missed is a number."""

    class Pale(Colour):
        def decode(self, code, steps=100):
            image = super().decode(code)
            image[:, 0] = 0
            return image

    found = measured(context, Pale(64), ("e4e-lec",))["e4e-lec, Male", "lec_frobenius"]
    system = checked.Checked("pale", Pale(64), torch.device("cpu"))
    probe = probe_of(context.store.read(fit_adam(context, system)))
    normal = (probe.weight[0] / probe.std).numpy()
    features = context.codes.features(system, context.select("test", 48))
    z = features_of(context.store.read(features))[:, 0].numpy()
    expected = np.abs(z + 3 * normal[0] / np.linalg.norm(normal)).mean()
    assert found.value == pytest.approx(expected, rel=1e-4)
    assert abs(normal[0] / np.linalg.norm(normal) - float(probe.direction(0)[0])) > 0.05


@pytest.mark.parametrize("n", [7, 8, 50, 1_700])
def test_batches_beyond_the_percentiles_are_left_out(n):
    """The means of whole batches; of up to 100 none."""
    values = np.random.default_rng(0).gamma(1, size=n)
    kept = by_protocol.without_outliers(values, 8, 1)
    means = np.array([values[i : i + 8].mean() for i in range(0, n - 7, 8)])
    if n < 8:
        assert not len(kept)
        return
    low, high = np.sort(means)[[int(0.01 * (len(means) - 1)), -1 - int(0.01 * (len(means) - 1))]]
    inside = np.flatnonzero((means >= low) & (means <= high))
    expected = np.concatenate([np.arange(8 * i, 8 * i + 8) for i in inside])
    np.testing.assert_array_equal(kept, expected)
    assert len(means) - len(inside) == (4 if n == 1_700 else 0)
    assert values[kept].mean() == pytest.approx(means[inside].mean())


def test_composition_is_of_truncated_grey_levels_and_lpips_a_mean_of_batches(
    context, dataset, monkeypatch, tmp_path
):
    """Each cycle adds 2.5 levels; the first batch of 40 is as much of LPIPS as the other 8."""
    monkeypatch.setitem(
        DISTANCES, "vgg16", lambda *_: SquaredError(metric_name="lpips_vgg", network="vgg16")
    )
    monkeypatch.setattr(type(context.networks), "_path", lambda self, name: tmp_path)
    protocol = tmp_path / "mine.toml"
    text = (by_protocol.named("counterfactual-benchmark").code, "of mine")
    protocol.write_text(
        f'title = "mine"\ncode = "{text[0]}"\n[composition]\ncycles = [[1, 3], "l.1"]\n'
        'rounding = ["truncated", "l.1"]\ntrunk = ["vgg16", "l.1"]\nbatch = [40, "l.1"]\n'
    )
    offset = 2.5 * 2 / 255
    found = measured(context, Colour(1, offset), (str(protocol),))
    test = context.select("test", 48)
    x = colours.colours_of(dataset, test.order) / 255.0
    for m, levels in ((1, 2), (3, 7)):
        row = found[f"mine, encoded {m} x", "composition_l1"]
        assert row.value == pytest.approx(levels, abs=0.3) and row.stderr is not None
        lpips = found[f"mine, encoded {m} x", "lpips_vgg"]
        made = np.clip(2 * x - 1 + m * offset, -1, 1)
        scores = np.square(made - (2 * x - 1)).sum(1) * colours.SIZE**2
        expected = (scores[:40].mean() + scores[40:].mean()) / 2
        assert lpips.value == pytest.approx(expected, rel=1e-4)


def test_the_fid_of_edited_images_is_beside_that_of_unedited_ones(context, dataset, monkeypatch):
    """Of all images of either class."""
    of_colours = replace(colours.features(), network="inception", metric_name="fid")
    context.networks.features = (of_colours,)
    found = measured(context, Colour(), ("diffae-edits",))
    test = context.select("test", 48)
    red, features = test.labels[:, 0], colours.colours_of(dataset, test.order)
    row = found[f"diffae-edits, Male added, {UNEDITED}", "fid"]
    assert row.n == (~red).sum() and row.stderr > 0
    assert row.value == pytest.approx(colours.frechet(features[~red], features[red]), rel=1e-4)
    assert found[f"diffae-edits, Male added, {PAPER}", "fid"].value < row.value / 3
    assert ("diffae-edits, " + OTHER_HALF, "fid") not in found


def test_another_protocol_is_measured_anew(context, tmp_path):
    """Whatever the store holds; each field by itself."""
    text = (edit_protocols.FOLDER / "e4e-lec.toml").read_text()
    fields = {"same": ("", ""), "step": ("[3.0,", "[6.0,"), "batch": ("[8,", "[5,")}
    fields["cut"] = "[1.0,", "[30.0,"
    found = set()
    for name, change in fields.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(text.replace(*change))
        row = measured(context, Rough(64), (str(path),))[f"{name}, Male", "lec_frobenius"]
        found.add((row.value, row.n))
    assert len(found) == len(fields)


def test_protocols_are_measured_beside_a_truth_too(context, dataset):
    class Truth:
        attributes = ("Male",)

        def changes(self, index, attribute, on):
            return {"Male": on} if dataset.attributes[index, 0] != on else None

        def picture(self, index, attribute, on):
            return dataset.source.read(index)

    data = replace(dataset, truth=Truth())
    small = {"pairs": 2, "calibration": 1, "directions": (MEANS,)}
    found = measured(replace(context, dataset=data), Colour(128), PROTOCOLS, **small)
    assert found["e4e-lec, Male", "lec_frobenius"].value == pytest.approx(0, abs=1e-5)
    f1 = found["counterfactual-benchmark, Male", "f1"]
    assert f1.value > 0.9 and f1.note == "± 0.000 over 1 batches" and f1.stderr is not None
    assert found["diffae-edits, edited", "fid"].note == by_protocol.NO_INCEPTION
    assert "--stand-ins" in found["diffae-edits, edited", "fid"].note
    assert "nothing changes" in found[f"Male added, {directions.ORACLE}", "kept"].note
    assert ("", "off_target") not in found and (MEANS, "kd_effnet") not in found


def test_a_dry_run_counts_what_a_run_computes(context, monkeypatch):
    monkeypatch.setattr(checked.Checked, "try_on", lambda *_: "")
    context = replace(context, options=TaskOptions(edit_protocols=PROTOCOLS))
    system = checked.Checked("counting", Colour(), torch.device("cpu"))
    calls = noted(system.inner)
    jobs = [planned.job for planned in collect(context, ("edits",), [system])[0]]
    assert not any(calls.values())
    measured(context, system.inner, PROTOCOLS)
    for name, verb in (("encoder", "encode_semantic"), ("decoder", "decode")):
        counts = [(job.count or 0) * getattr(job.calls, name) for job in jobs]
        assert sum(counts) == sum(calls[verb]), name


def test_other_attributes_are_edited_by_prevalence_in_images_of_both_sides(context, dataset):
    """Of 60 test images 2 persons have a rare attribute: the first 8 images need not, the drawn ones do."""
    test, red = dataset.indices("test"), dataset.attributes[:, 0]
    rare, alone = np.zeros(200, bool), np.zeros(200, bool)
    people = np.unique(dataset.identities[test])
    rare[np.isin(dataset.identities, people[-2:])] = True
    alone[dataset.identities == people[0]] = True
    rare[dataset.indices("train")[:20]] = alone[dataset.indices("train")[:20]] = True
    names = "alone", "rare", "red"
    data = replace(dataset, attribute_names=names, attributes=np.stack([alone, rare, red], 1))
    few = replace(context, dataset=data)
    assert [*prevalent(few)] == ["red", "rare"]
    drawn = stratified(few.select("test", 200), ["red", "rare"], 8)
    assert len(drawn) == 8 and np.isin(drawn.order, test).all()
    assert len({*drawn.groups[rare[drawn.order]]}) == 2
    lec = {s: r.value for (s, m), r in measured(few, Colour()).items() if m == "lec"}
    assert lec[f"rare added, {PAPER}"] is not None
    assert not any(setting.startswith("alone") for setting in lec)
