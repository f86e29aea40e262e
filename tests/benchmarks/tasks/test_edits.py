"""Edits of images whose truth is a known vector, by systems for which all numbers are known."""

from dataclasses import replace
from functools import partial

import dummies
import numpy as np
import pytest
import torch
from lone_context import small_context
from PIL import Image
from systems import Pixels as KnownPixels

from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.networks import chosen
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.plugin import Part
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import Code, System
from benchmarks.tasks.edits import classifier, directions, edits, pictures
from benchmarks.tasks.edits.directions import MEANS, NO_EDIT, ORACLE, OWN, REGRESSED, RIDGE
from diffae.data import open_dataset
from diffae.data.pairs import pairs_of
from reports.page.sheets import read_sheet
from reports.records.estimate import Estimate, influences_of_groups, influences_on_mean

SIDE, COUNT, SHIFT = 16, 120, 40
DIM = 3 * SIDE**2
SMALL = {
    **{"edits.pairs": 6, "edits.calibration": 4, "edits.directions": (MEANS,)},
    **{"probes.train": 72, "probes.valid": 12, "probes.test": 36, "edits.classifier": 72},
}


class Shifted:
    """Truth: with Lit, the red of the upper left quarter is brighter; a Tie comes with Lit off."""

    attributes = ("Lit",)

    def __init__(self, bases, lit):
        self.bases, self.lit = bases, lit

    def changes(self, index, attribute, on):
        if self.lit[index] == on:
            return None
        return {"Lit": on} | ({"Tie": not on} if index % 3 == 0 else {})

    def picture(self, index, attribute, on):
        pixels = self.bases[index].copy()
        pixels[: SIDE // 2, : SIDE // 2, 0] += SHIFT if on else 0
        return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Noise of middling brightness, half of it Lit, two pictures of each person."""
    folder, rng = tmp_path_factory.mktemp("lit"), np.random.default_rng(0)
    bases = rng.integers(90, 130, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.stack([rng.permutation(COUNT) % 2 == 0, rng.random(COUNT) < 0.4], axis=1)
    truth = Shifted(bases, labels[:, 0])
    for i in range(COUNT):
        truth.picture(i, "Lit", labels[i, 0]).save(folder / f"{i:03}.png")
    named = {"attribute_names": ("Lit", "Tie"), "attributes": labels, "truth": truth}
    return replace(open_dataset(folder, SIDE), identities=np.arange(COUNT) // 2, **named)


def vector():
    """The truth as a change of pixels in [-1, 1]."""
    shift = torch.zeros(3, SIDE, SIDE)
    shift[0, : SIDE // 2, : SIDE // 2] = SHIFT * 2 / 255
    return shift.flatten()


class Pixels(KnownPixels):
    """The image is its own code, and the edit of its own adds what the truth adds, times the strength."""

    far = 2  # times the truth, at strength 1

    def __init__(self, side=SIDE):
        super().__init__(side, name=type(self).__name__.lower())

    def edit(self, code, attribute, target, strength):
        assert attribute == "Lit"
        sign = 1 if target else -1
        return Code(code.semantic + sign * strength * self.far * vector(), code.x_T)


class Turned(Pixels):
    """The same code, rotated, three times as large, and moved."""

    edit = System.edit
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)))[0]

    def encode_semantic(self, images):
        return 3 * images.flatten(1) @ self.rotation + 7

    def decode(self, code, steps=100):
        return ((code.semantic - 7) / 3 @ self.rotation.T).reshape(-1, 3, SIDE, SIDE)


class Grey(Pixels):
    """The decoder ignores its code."""

    def __init__(self):
        super().__init__()
        self.contrast = 0


class Rest(Pixels):
    """The code is the mean of red, and x_T is what is left of the image."""

    capabilities = Pixels.capabilities | {"stochastic"}
    edit = System.edit

    def __init__(self):
        super().__init__()
        self.semantic_dim, self.latent_dim = 1, DIM + 1

    def encode_semantic(self, images):
        return images[:, 0].mean((1, 2))[:, None]

    def encode_stochastic(self, images, semantic, steps):
        return images - semantic[:, :, None, None]

    def decode(self, code, steps=100):
        return code.x_T + code.semantic[:, :, None, None]


def measured(context, system, settings=()):
    """The rows by table, setting and metric."""
    context = replace(context, profile=context.profile.changed_by(dict(settings)))
    system = checked.Checked(system.name, system, torch.device("cpu"))
    return {(r.table, r.setting, r.metric): r for r in rows(edits.BENCHMARK, context, [system])}


@pytest.fixture
def context(dataset, tmp_path):
    return replace(small_context(dataset, tmp_path, SMALL), benchmark="edits")


@pytest.fixture
def of_pixels(context):
    return measured(context, Pixels())


def image_classifier(context):
    """The logits of images by the classifier of the runs."""
    return partial(classifier.sees, context.store.read(classifier.fit(context, 72)))


def pattern():
    """What some edits do to the lower half, in [-1, 1]."""
    signs = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.5
    signs = 0.1 - 0.2 * signs.float()
    signs[:, : SIDE // 2] = 0
    return signs.flatten()


class Ties(Pixels):
    """Its own edits add a pattern too, or take it away, at strength 1 twice; more of it to some images."""

    def edit(self, code, attribute, target, strength):
        more = (2 if target else -2) * strength * pattern() * weights(code.semantic)
        edited = super().edit(code, attribute, target, strength)
        return replace(edited, semantic=edited.semantic + more)


def test_a_code_that_is_the_image_and_the_code_of_the_truth(of_pixels):
    expected = {"kept": 1, "gain": 1, "dose": 1, "off_target": 0, "direction_r2": 1}
    expected |= {"leak_out": 0, "lec": 0, "effectiveness": 1}
    for metric, value in expected.items():
        for side in edits.SIDES.values():
            row = of_pixels["edits_by_attribute", f"Lit {side}, {ORACLE}", metric]
            assert row.value == pytest.approx(value, abs=1e-5), metric
            assert row.n == 6 and len(row.estimate.influences[0].values) <= 6
        mean = of_pixels["edits", ORACLE, metric]
        assert (mean.value, mean.n) == (pytest.approx(value, abs=1e-5), 12)
        assert mean.measured_by["attributes"] == ["Lit"]
    for m in (1, 2):
        assert of_pixels["edits", f"no edit, encoded {m} x", "composition"].value == 0


def test_one_direction_for_all_goes_as_far_as_the_truth(of_pixels):
    """The system's own edit is twice as far as the truth at strength 1."""
    expected = {"gain": 1, "dose": 1, "off_target": 0, "lec": 0, "reversibility": 0, "leak_out": 0}
    for side in edits.SIDES.values():
        for metric, value in expected.items():
            row = of_pixels["edits_by_attribute", f"Lit {side}, {OWN}", metric]
            assert row.value == pytest.approx(value, abs=1e-5), metric
        strength = of_pixels["edits_by_attribute", f"Lit {side}, {OWN}", "strength"]
        assert (strength.value, strength.stderr, strength.note) == (pytest.approx(0.5), None, "")
    assert of_pixels["edits", OWN, "strength"].value == pytest.approx(0.5)
    assert ("edits", ORACLE, "strength") not in of_pixels


def test_the_code_may_be_scaled_moved_and_rotated(context, of_pixels):
    turned = measured(context, Turned())
    compared = 0
    for key, row in turned.items():
        alike = key[1].endswith((MEANS, ORACLE)) and key[2] != "strength"  # of normalised numbers
        if alike and row.value is not None:
            assert row.value == pytest.approx(of_pixels[key].value, rel=2e-3, abs=2e-4), key
            compared += 1
    assert compared > 30


def test_a_decoder_that_ignores_its_code_has_reasons_and_no_numbers(context):
    found = measured(context, Grey())
    kept = found["edits", ORACLE, "kept"]
    assert kept.value == 0
    for way in (ORACLE, MEANS, OWN):
        for metric in ("gain", "dose", "off_target", "effectiveness", "leak_out"):
            assert found["edits", way, metric].value is None
            why = found["edits_by_attribute", f"Lit added, {way}", metric].note
            assert why == "the code does not hold the attribute: kept 0.000 ± 0.000"
    x = context.dataset.batch(
        np.unique(found["edits", "no edit, encoded 1 x", "composition"].estimate.scores.images)
    )
    composition = found["edits", "no edit, encoded 1 x", "composition"].value
    assert composition == pytest.approx(float(x.square().mean()) / 4, rel=1e-5)


def test_a_constant_code_has_no_direction(context):
    """All that is known of its edits is how many are seen on the target side: none, of grey images. Those of
    its own are forgotten when the image is encoded again: the step itself is missed.
    """

    class Constant(Grey):
        def encode_semantic(self, images):
            return torch.ones(len(images), DIM)

    found = measured(context, Constant())
    each = {key[1:]: row for key, row in found.items() if key[0] == "edits_by_attribute"}
    fitted = {k: row for k, row in each.items() if not k[0].endswith(OWN)}
    known = {metric for (_, metric), row in fitted.items() if row.value is not None}
    assert known == {"kept", "on_target", "reversibility", "strength"}
    assert "out of reach" in each[f"Lit added, {MEANS}", "strength"].note
    assert each[f"Lit added, {MEANS}", "lec"].note == "the edit does not move the code"
    assert "no code moves" in each[f"Lit added, {ORACLE}", "direction_r2"].note
    assert each[f"Lit added, {OWN}", "lec"].value == pytest.approx(1)


def test_a_system_of_another_size_is_given_its_own(context):
    found = measured(context, KnownPixels(SIDE // 2))
    assert found["edits", ORACLE, "gain"].value == 1
    assert 0.8 < found["edits", ORACLE, "kept"].value < 1


def test_strengths_and_the_classifier_see_no_test_image(context, monkeypatch):
    asked, given = [], edits.pairs_of
    monkeypatch.setattr(
        edits, "pairs_of", lambda *how: asked.append((how[1:3], how[3], how[5])) or given(*how)
    )
    select, selected = type(context).select, []
    monkeypatch.setattr(
        type(context), "select", lambda self, *of: selected.append(of) or select(self, *of)
    )
    measured(context, Pixels())
    sides = [("Lit", True), ("Lit", False)]
    assert asked == [(side, n, split) for n, split in ((6, "test"), (4, "valid")) for side in sides]
    selected.clear()
    classifier.fit(context, 7)
    assert selected == [("train", 7)]


def test_the_truth_is_decoded_with_the_x_T_of_the_image(context):
    """Of a code of the mean of red, all of which a quarter of the pixels of red moves by a quarter."""
    found = measured(context, Rest(), {"edits.strengths": (1.0, 4.0)})
    expected = {"kept": 0.25, "gain": 1, "leak_out": 1}
    for metric, value in expected.items():
        row = found["edits", ORACLE, metric]
        assert row.value == pytest.approx(value, rel=1e-4), metric
    assert found["edits", MEANS, "gain"].value == pytest.approx(1, abs=1e-3)


def test_a_change_without_an_inverse_is_no_part_of_reversibility(context, monkeypatch):
    """An edit that is not undone but done twice is off by twice the truth; of the others nothing is counted."""

    class OneWay(Pixels):
        def decode(self, code, steps=100):  # brighter each time
            return super().decode(code) + 0.05

        def edit(self, code, attribute, target, strength):
            return super().edit(code, attribute, True, strength)

    found = measured(context, OneWay(), {"edits.pairs": 20})
    row = found["edits_by_attribute", f"Lit added, {OWN}", "reversibility"]
    assert row.value == pytest.approx(float(vector().square().mean()), rel=1e-4)
    monkeypatch.setattr(Shifted, "changes", lambda self, i, a, on: {"Lit": on, "Tie": on})
    none = measured(replace(context, seed=1), OneWay(), {"edits.pairs": 20})
    row = none["edits_by_attribute", f"Lit added, {OWN}", "reversibility"]
    assert row.value is None and "no inverse" in row.note


def test_an_error_is_that_of_persons(context, dataset):
    """Leaving out one person's pictures, of the mean of what a classifier sees."""
    found = measured(context, Pixels(), {"edits.pairs": 40})
    row = found["edits_by_attribute", f"Lit added, {MEANS}", "off_target"]
    test = dataset.ordered("test", 0)
    people = np.unique(dataset.identities[test[~dataset.attributes[test, 0]]])
    (source,) = row.estimate.influences
    assert len(source.values) == len(people) < row.n
    assert np.linalg.norm(source.values) == pytest.approx(row.stderr) and row.stderr > 0


def before_and_after(context, on, count=6, split="test"):
    """Images, the truth and the pairs of Lit."""
    pairs = pairs_of(context.dataset, "Lit", on, count, context.seed, split)
    return context.dataset.batch(pairs.before), pairs.after(np.arange(len(pairs))), pairs


def people_of(pairs):
    persons = pairs.dataset.identities
    return pairs.before if persons is None else persons[pairs.before]


def weights(code):
    """How much of the pattern codes are given, [n, 1]."""
    return 1 + 5 * (code[:, -1:] + 0.15)


def tied(x, on):
    """The edits of images by `Ties`, of dose 1."""
    more = vector() + pattern() * weights(x.flatten(1))
    return x + (1 if on else -1) * more.reshape(-1, 3, SIDE, SIDE)


@pytest.mark.parametrize("on", [True, False])
def test_what_leaks_is_by_the_logits_of_an_image_classifier(context, on):
    """Of a dose of 1 on the other attribute, and of pairs whose truth leaves that alone."""
    found = measured(context, Ties())
    x, changed, pairs = before_and_after(context, on)
    alone = ~pairs.others_changed[:, 1]
    assert 0 < alone.sum() < len(x)
    y, sees = tied(x, on), image_classifier(context)
    moved, true = ((1 if on else -1) * (sees(after) - sees(x))[alone, 1] for after in (y, changed))
    expected = abs(np.mean(moved) - np.mean(true))
    assert expected > 0.05
    row = found["edits_by_attribute", f"Lit {edits.SIDES[on]}, {OWN}", "leak_max"]
    assert row.value == pytest.approx(expected, rel=1e-3) and row.note == ""
    assert found["edits_by_attribute", f"Lit {edits.SIDES[on]}, {ORACLE}", "leak_max"].value == 0
    assert found["edits", OWN, "leak_mean"].n == 12


def test_logits_are_over_their_spread_on_the_training_images(context, dataset):
    train = context.select("train", 72)
    logits = image_classifier(context)(train.batch(np.arange(72)))
    np.testing.assert_allclose(logits.std(0, ddof=1), 1, rtol=1e-6)
    assert np.corrcoef(logits[:, 0], train.labels[:, 0])[0, 1] > 0.9
    labels = dataset.attributes.copy()
    labels[:, 1] = True
    of_one_class = replace(context, dataset=replace(dataset, attributes=labels))
    assert np.isnan(image_classifier(of_one_class)(train.batch(np.arange(5))))[:, 1].all()


def test_the_doses_by_which_the_strength_is_chosen(context):
    """The own edit is twice as far as the truth at strength 1, on eight validation images."""
    found = measured(context, Pixels())
    for strength in (0.2, 0.6):
        dose = found["edits_by_strength", f"{OWN}, strength {strength}", "dose"]
        assert dose.value == pytest.approx(2 * strength, rel=1e-5)
        assert (dose.split, dose.n) == ("valid", 8)
        of = [people_of(before_and_after(context, on, 4, "valid")[2]) for on in (True, False)]
        assert len(dose.estimate.influences[0].values) == len(np.unique(np.concatenate(of)))
        off = found["edits_by_strength", f"{OWN}, strength {strength}", "off_target"]
        assert off.value == pytest.approx(0, abs=1e-6)


def test_the_code_of_the_truth_and_no_edit_do_not_compete(of_pixels):
    for (_, setting, metric), row in of_pixels.items():
        if row.value is not None:
            no_edit = NO_EDIT in setting and metric != "composition"
            assert row.reference == (ORACLE in setting or no_edit), setting


@pytest.fixture
def faces(context, monkeypatch):
    """A network of faces that are mean colours; none is found in images with a dark last pixel."""
    mean = torch.nn.functional.adaptive_avg_pool2d
    last = context.dataset.batch(np.arange(COUNT))[:, 0, -1, -1]
    dark = last.sort().values[COUNT // 5]

    def embedded(images):
        found = mean(images, 2).flatten(1)
        return torch.where(images[:, 0, -1, -1, None] > dark, found, torch.nan)

    network = FaceEmbedding("colours", "id_portraits", SIDE, "0" * 64, embedded)
    monkeypatch.setattr(chosen.faces, "id_portraits", lambda *_: network)
    context.networks = replace(context.networks, dataset="portraits")
    return network


@pytest.mark.parametrize("on", [True, False])
def test_a_face_is_compared_with_that_of_the_image(context, faces, on):
    """Those without a face are left out of value, error and n, and counted."""
    found = measured(context, Pixels(), {"edits.pairs": 20})
    x, _, pairs = before_and_after(context, on, 20)
    y = x + (1 if on else -1) * vector().reshape(3, SIDE, SIDE)
    values = torch.cosine_similarity(*(faces(of).double() for of in (x, y))).numpy()
    seen = ~np.isnan(values)
    assert 2 < seen.sum() < len(x)
    row = found["edits_by_attribute", f"Lit {edits.SIDES[on]}, {OWN}", "id_portraits"]
    assert row.value == pytest.approx(values[seen].mean(), rel=1e-6)
    own = influences_on_mean(values[seen], "")[0].values
    expected = Estimate(None, influences_of_groups(own, people_of(pairs)[seen], "")).stderr
    assert row.stderr == pytest.approx(expected, rel=1e-5)
    assert row.n == seen.sum()
    assert f"no face found in {(~seen).sum()} of {len(x)} pairs" in row.note
    assert row.measured_by["identity_network"] == "colours"
    none = found["edits_by_attribute", f"Lit {edits.SIDES[on]}, {NO_EDIT}", "id_portraits"]
    assert none.value == pytest.approx(1) and none.n == row.n and none.reference


def test_a_number_of_no_face_does_not_depend_on_the_network(context, faces):
    found = measured(context, Pixels())
    row = found["edits_by_attribute", f"Lit added, {OWN}", "off_target"]
    assert "identity_network" not in row.measured_by
    mean = found["edits", NO_EDIT, "id_portraits"]
    assert mean.value == pytest.approx(1) and "no face found in" in mean.note


def test_no_face_at_all_is_the_reason(context, faces, monkeypatch):
    nothing = replace(faces, embed=lambda images: torch.full((len(images), 12), torch.nan))
    monkeypatch.setattr(chosen.faces, "id_portraits", lambda *_: nothing)
    found = measured(context, Pixels())
    row = found["edits_by_attribute", f"Lit added, {OWN}", "id_portraits"]
    assert row.value is None and "no face found in 6 of 6 pairs" in row.note


def test_without_a_network_of_faces_there_is_one_reason(of_pixels):
    of_faces = [row for row in of_pixels.values() if row.metric == "arcface"]
    assert len(of_faces) == 1 and of_faces[0].value is None and "face" in of_faces[0].note


def test_portraits_are_drawn_beside_their_truth(context, tmp_path):
    """The own edit is the truth but for a pattern, which is drawn twice as large."""
    measured(context, Ties())
    sheet = read_sheet(tmp_path / "pictures/edits-ties-01-Lit.png")
    edit = f"edit: {OWN}"
    assert sheet.rows[:3] == ("input", "drawn truth", "decoded truth")
    assert {edit, f"{OWN}, less the truth", f"edit: {MEANS}"} <= {*sheet.rows}
    assert sheet.columns == ("Lit added", "Lit removed") * 2
    cells = {
        head: [np.asarray(sheet.cell(r, c)).astype(int) for c in range(4)]
        for r, head in enumerate(sheet.rows)
    }
    levels = [(of + 1) * 127.5 for on in (True, False) for of in before_and_after(context, on)[:2]]
    for column in range(4):
        x, changed = (of[column // 2].numpy() for of in levels[2 * (column % 2) :][:2])
        for head, image in (("input", x), ("drawn truth", changed), ("decoded truth", changed)):
            assert np.abs(cells[head][column].transpose(2, 0, 1) - image).max() <= 1, head
        less = cells[f"{OWN}, less the truth"][column]
        own = before_and_after(context, column % 2 == 0)[0]
        by = pictures.FACTOR * (
            tied(own, column % 2 == 0)[column // 2] - torch.from_numpy(changed / 127.5 - 1)
        )
        assert np.abs(less.transpose(2, 0, 1) - 127.5 * (1 + by.numpy().clip(-1, 1))).max() <= 1
    first = pattern() * weights(before_and_after(context, True)[0].flatten(1))[0]
    more = float(first @ first / (vector() + first).square().sum())
    assert sheet.note(sheet.rows.index(edit), 0) == f"dose 1.00, off target {more:.2f}"
    assert sheet.note(0, 0) == ""


def test_what_leaks_is_drawn_by_its_sign(context, tmp_path):
    measured(context, Ties())
    (path,) = (tmp_path / "pictures").glob(f"edits-ties-*-{OWN}.png")
    sheet = read_sheet(path)
    assert (sheet.rows, sheet.lengths) == (("Lit",), (1,))
    own, tie = np.asarray(sheet.cell(0, 0)).astype(int)[0]
    signed = 0.0
    sees = image_classifier(context)
    for on in (True, False):
        x, changed, pairs = before_and_after(context, on)
        moved = (sees(tied(x, on)) - sees(changed))[~pairs.others_changed[:, 1], 1].mean()
        signed += (1 if on else -1) * moved / 2
    assert (
        sheet.note(0, 0) == f"Tie {signed:+.2f}" and f"Lit moves Tie {signed:+.2f}" in sheet.caption
    )
    assert np.ptp(own) == 0 and own[0] < 200  # left out: grey
    end = np.array(pictures.UP if signed > 0 else pictures.DOWN)
    colour = 1 + min(abs(signed), 1) * (end - 1)
    assert np.abs(tie - (colour + 1) * 127.5).max() <= 1


def test_directions_are_those_of_other_formulas():
    from sklearn.linear_model import LinearRegression, Ridge

    rng = np.random.default_rng(0)
    y = (rng.random((80, 3)) < 0.4).astype(float)
    x = y @ rng.standard_normal((3, 5)) + rng.standard_normal((80, 5))
    found = directions.directions(MEANS, x, y)
    np.testing.assert_allclose(found[1], x[y[:, 1] == 1].mean(0) - x[y[:, 1] == 0].mean(0))
    coefficients = LinearRegression().fit(y, x).coef_
    np.testing.assert_allclose(directions.directions(REGRESSED, x, y), coefficients.T)
    ridge = directions.directions(RIDGE, x, y)[2]
    fits = [Ridge(alpha).fit(x, y[:, 2]).coef_ for alpha in directions.ALPHAS]
    assert min(np.abs(ridge - one).max() for one in fits) < 1e-8


@pytest.mark.parametrize(
    "doses, strength",
    [
        ({1.0: 0.5, 2.0: 2.0}, 1 + 0.5 / 1.5),
        ({1.0: 4.0, 2.0: 9.0}, 0.25),
        ({1.0: 0.5, 2.0: 0.8}, 2 / 0.8),
        ({1.0: 0.3, 2.0: 0.4}, 2),
        ({1.0: -0.3, 2.0: -0.9}, 1),
    ],
)
def test_the_strength_of_dose_1(doses, strength):
    found, note = directions.strength_of_dose_1(doses)
    assert found == pytest.approx(strength)
    assert ("out of reach" in note) == (max(doses.values()) < 0.5)


def test_codes_that_cannot_be_moved_still_have_the_truth(context):
    class Levels(dummies.GreyLevels):
        image_size, latent_dim = SIDE, DIM
        semantic_parts = (Part.of_tokens((3, SIDE, SIDE), 16),)

        def __init__(self):
            self.fingerprint = self.name

    found = measured(context, Levels())
    assert {key[1].rpartition(", ")[2] for key in found if key[0] != "edits"} == {ORACLE}
    assert "tokens" in found["edits", MEANS, "off_target"].note
    assert found["edits", ORACLE, "kept"].value == pytest.approx(1, abs=0.1)
