"""Identity with a system of known codes, logits and faces: size, direction and range of an edit.

The code is the mean colour of each quarter of an image, and a decoded image has these colours:
encoded again, the edited image gives the edited code. A face is an angle, three times the mean of
the red channel.
"""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from systems import Cells

from benchmarks.commands.planned import collect
from benchmarks.core.context import Context
from benchmarks.core.job import Job
from benchmarks.core.measurement import Place, Variant
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.networks.faces import FaceEmbedding, mean_of_different_people
from benchmarks.metrics.units import Units
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol import checked
from benchmarks.tasks import identity
from benchmarks.tasks.identity import DIFFERENT, OTHER_IMAGES, SAME
from probes import LinearProbe

DIM = 12


def edit_scores(context, system, images, probe, attribute, strength, steps):
    """What is computed of an edit of the images, and by how much it moved the attribute's logit."""
    column = context.dataset.attribute_names.index(attribute)
    towards = 1 - 2 * images.labels[:, column].astype(np.float32)
    variant = Variant(context, system, steps)
    place = Place(context, identity.TABLE, variant, setting=attribute)
    weights = {name: tensor.numpy() for name, tensor in asdict(probe).items()}
    fit = Job("probe", "fit", {"of": "a test"}, None, lambda _: weights)
    edit = identity.edit(place, variant, images, fit, column, strength)
    scores = context.store.read(edit)
    return scores | {"logit_change": scores["logits_change"][:, column] * towards}


def measured(context, system):
    """The rows of the system."""
    return [r for r in rows(identity.BENCHMARK, context, [system]) if not r.reference]


def references(context):
    """The rows of real images."""
    return list(rows(identity.BENCHMARK, context, []))


class Quarters(Cells):
    def __init__(self):
        super().__init__(name=type(self).__name__.lower())


def angle(images: torch.Tensor) -> torch.Tensor:
    return 3 * images[:, 0].double().mean((1, 2))


def embed(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([angle(images).cos(), angle(images).sin()], dim=1)


@pytest.fixture
def known(context):
    """A context with that embedding."""
    rng = np.random.default_rng(0)
    dataset = replace(
        context.dataset,
        attribute_names=("Young", "Male"),
        attributes=rng.random((150, 2)) < 0.5,
        identities=np.arange(150) // 2,
    )
    networks = replace(context.networks)  # of its own
    networks.face = FaceEmbedding("angle", "id_portraits", 32, "0" * 64, embed)
    return replace(context, dataset=dataset, networks=networks, benchmark="identity")


@pytest.fixture
def probe(known):
    """The code is normalised as the images say; the weights are any."""
    z = Quarters().encode_semantic(known.dataset.batch(range(150)))
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(2, DIM, generator=generator), torch.randn(2, generator=generator)
    return LinearProbe(weight, bias, z.mean(0), z.std(0))


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_an_edit_moves_the_logit_away_from_the_present_value(known, probe, strength):
    """By s sqrt(d) |w|, for those who have the attribute and those who have not; and the face by a
    known angle.
    """
    selection = known.select("test", 20)
    system = checked.Checked("quarters", Quarters(), torch.device("cpu"))
    scores = edit_scores(known, system, selection, probe, "Male", strength, None)
    weight = probe.weight[1].double()
    expected = strength * DIM**0.5 * weight.norm().item()
    np.testing.assert_allclose(scores["logit_change"], expected, atol=1e-4)
    present = torch.from_numpy(selection.labels[:, 1])
    assert 0 < present.sum() < 20
    towards = torch.where(present, -1.0, 1.0).double()
    images = selection.batch(np.arange(20))
    z = Quarters().encode_semantic(images).double()
    step = strength * DIM**0.5 * weight / weight.norm() * probe.std.double()
    turned = 3 * (z + towards[:, None] * step)[:, :4].mean(1) - angle(images)
    np.testing.assert_allclose(scores["identity"], turned.cos(), atol=1e-5)
    shown = torch.from_numpy(scores["preview"])  # the first few edited images
    moved = probe.logits(Quarters().encode_semantic(shown))[:, 1] - probe.logits(z.float())[:8, 1]
    np.testing.assert_allclose(moved, expected * towards[:8], atol=1e-4)


# ----------------------------------------------------------------------------------------------
# The range of the similarity


def by_hand(context: Context, count: int) -> tuple[list[float], list[float]]:
    """Cosines of two pictures of one person, and of the first pictures of two, over all pairs of
    people.
    """
    selection = context.select("test", count)
    angles = angle(selection.batch(np.arange(len(selection)))).numpy()
    pictures: dict[int, list[float]] = {}
    for person, value in zip(selection.groups.tolist(), angles, strict=True):
        pictures.setdefault(person, []).append(value)
    same = [np.cos(found[0] - found[1]) for found in pictures.values() if len(found) > 1]
    first = [found[0] for found in pictures.values()]
    return same, [np.cos(a - b) for i, a in enumerate(first) for b in first[:i]]


def test_the_range_is_of_the_same_person_and_of_different_people(known):
    found = {row.setting: row for row in references(known)}
    assert list(found) == [SAME, DIFFERENT] and all(row.reference for row in found.values())
    count = identity.RANGE * known.sizes(identity.Sizes).images
    for (setting, row), cosines in zip(found.items(), by_hand(known, count), strict=True):
        assert row.value == pytest.approx(np.mean(cosines), abs=1e-6), setting
        assert row.metric == "id_portraits" and row.stderr > 0
    same = by_hand(known, count)[0]
    assert found[SAME].n == len(same)
    assert found[SAME].stderr == pytest.approx(np.std(same, ddof=1) / len(same) ** 0.5, rel=1e-5)
    assert found[DIFFERENT].stderr == pytest.approx(jackknife(known, count), rel=0.05)


def jackknife(context: Context, count: int) -> float:
    """The standard error of the mean over pairs of different people, by leaving out one person at a
    time.
    """
    selection = context.select("test", count)
    _, first = np.unique(selection.groups, return_index=True)
    angles = angle(selection.batch(first)).numpy()
    cosines = np.cos(angles[:, None] - angles)
    k = len(angles)
    left_out = [
        (np.delete(np.delete(cosines, i, 0), i, 1).sum() - (k - 1)) / (k - 1) / (k - 2)
        for i in range(k)
    ]
    return float(np.sqrt((k - 1) / k * np.sum(np.square(left_out - np.mean(left_out)))))


def only_bright(images: torch.Tensor) -> torch.Tensor:
    """The same embedding, with no face in dark images."""
    dark = images[:, 1].mean((1, 2)) < -0.01
    return torch.where(dark[:, None], torch.nan, embed(images))


@pytest.fixture
def by_distance(known):
    """A context in which faces are looked for, and compared by their distance."""
    networks = replace(known.networks)
    networks.face = FaceEmbedding("angle", "id_dlib", 32, "0" * 64, only_bright)
    return replace(known, networks=networks)


def test_the_range_of_a_distance_is_of_the_images_with_a_face(by_distance):
    """Of angles a and b on the circle the distance is 2 |sin((a - b) / 2)|."""
    count = identity.RANGE * by_distance.sizes(identity.Sizes).images
    selection = by_distance.select("test", count)
    images = selection.batch(np.arange(len(selection)))
    bright = ~only_bright(images).isnan().any(1).numpy()
    assert 0 < bright.sum() < len(bright)
    pictures: dict[int, list[float]] = {}
    seen = zip(selection.groups[bright].tolist(), angle(images)[bright].tolist(), strict=True)
    for person, value in seen:
        pictures.setdefault(person, []).append(value)
    first = np.array([found[0] for found in pictures.values()])
    apart = 2 * np.abs(np.sin((first[:, None] - first) / 2))[~np.eye(len(first), dtype=bool)]
    pairs = np.array([found[:2] for found in pictures.values() if len(found) > 1])
    same = 2 * np.abs(np.sin((pairs[:, 0] - pairs[:, 1]) / 2))
    found = {row.setting: row for row in references(by_distance)}
    assert found[SAME].value == pytest.approx(same.mean(), abs=1e-6)
    assert found[DIFFERENT].value == pytest.approx(apart.mean(), abs=1e-6)
    assert (found[SAME].n, found[DIFFERENT].n) == (len(same), len(first))
    for row in found.values():
        assert (row.metric, row.direction) == ("id_dlib", "lower") and row.stderr > 0
        assert row.note == f"no face found in {(~bright).sum()} of {len(bright)} images"


def test_pairs_without_a_face_are_left_out_and_counted(by_distance):
    selection = by_distance.select("test", 5)
    place = Place(by_distance, identity.TABLE, title="a system", setting="Male 0.3")
    values = np.array([0.2, np.nan, 0.4, 0.3, np.nan])
    ((_, metric, some),) = identity.kept(place, selection, values)
    assert (metric, some.value, some.n) == ("id_dlib", pytest.approx(0.3), 3)
    assert some.remarks == ("no face found in 2 of 5 pairs",)
    assert some.scores.images.tolist() == selection.order[[0, 2, 3]].tolist()
    ((_, _, none),) = identity.kept(place, selection, np.full(5, np.nan))
    assert none.value is None and none.remarks == ("no face found in 5 of 5 pairs",)
    ((_, _, all_pairs),) = identity.kept(place, selection, np.full(5, 0.5))
    assert all_pairs.n == 5 and all_pairs.remarks == ()


def test_edits_are_compared_as_the_network_does(by_distance, probe):
    """Of a reconstruction by the mean colour of quarters, whose angle is that of the image."""
    selection = by_distance.select("test", 20)
    system = checked.Checked("quarters", Quarters(), torch.device("cpu"))
    scores = edit_scores(by_distance, system, selection, probe, "Male", 0.0, None)
    dark = only_bright(selection.batch(np.arange(20))).isnan().any(1).numpy()
    assert 0 < dark.sum() < 20
    np.testing.assert_allclose(scores["identity"], np.where(dark, np.nan, 0), atol=1e-3)


def test_images_of_nobody_in_particular_are_only_different(known):
    known.dataset = replace(known.dataset, identities=None)
    (row,) = references(known)
    assert row.setting == OTHER_IMAGES
    angles = angle(known.dataset.batch(known.select("test", 1000).order)).numpy()
    cosines = np.cos(angles[:, None] - angles)[~np.eye(len(angles), dtype=bool)]
    assert row.n == len(angles) and row.value == pytest.approx(cosines.mean(), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_images_are_enough_for_the_range(known, count, monkeypatch):
    known.dataset = replace(known.dataset, identities=None)
    selection = known.select("test", 3)
    few = replace(selection, order=selection.order[:count])
    monkeypatch.setattr(Context, "select", lambda *_: few)
    found = references(known)
    assert [row.setting for row in found if row.value is not None] == [OTHER_IMAGES] * (count > 1)


def test_without_labels_the_reconstruction_is_compared(known):
    """Of a decoder that makes everything a little brighter, which turns every face by one angle."""

    class Brighter(Quarters):
        def decode(self, code, steps=100):
            return super().decode(code) + 0.1

    known.dataset = replace(known.dataset, attribute_names=(), attributes=None, identities=None)
    system = checked.Checked("brighter", Brighter(), torch.device("cpu"))
    (row,) = measured(known, system)
    assert (row.setting, row.metric, row.n) == ("reconstruction", "id_portraits", 8)
    assert row.value == pytest.approx(np.cos(0.3), abs=1e-3)  # white is clipped in some images
    assert [one.setting for one in references(known)] == [OTHER_IMAGES]
    planned, _ = collect(known, ("identity",), [system])
    jobs = [part.job for part in planned]
    assert sum(job.calls.face * job.count for job in jobs if job.system) == 8


def widths(images: torch.Tensor) -> torch.Tensor:
    """A face as wide as its image is bright, up to a third of it; none in the dark."""
    share = (images.mean((1, 2, 3)) + 1) / 2 / 3
    return torch.where(share > 0.1, share * images.shape[-1], torch.nan)


def test_reconstructions_are_compared_by_the_size_of_the_face(known, monkeypatch):
    """Each image in the bin of its own face: rows of a decoder that turns some faces more than others."""

    class Darker(Quarters):
        def decode(self, code, steps=100):
            return super().decode(code) * 0.5

    known.networks.face = replace(known.networks.face, sides=widths)
    monkeypatch.setattr(identity, "FACE_SIDES", (0.0, 0.16, 0.17, np.inf))
    known.dataset = replace(known.dataset, attribute_names=(), attributes=None, identities=None)
    system = checked.Checked("darker", Darker(), torch.device("cpu"))
    found = {r.setting: r for r in measured(known, system)}
    selection = known.select("test", known.sizes(identity.Sizes).images)
    images = selection.batch(np.arange(len(selection)))
    shares, turned = widths(images).numpy() / 32, (angle(images) / 2).cos().numpy()
    bins = {"0 to 5 px": shares < 0.16, "5 or more px": shares >= 0.17}
    bins["5 to 5 px"] = ~bins["0 to 5 px"] & ~bins["5 or more px"] & ~np.isnan(shares)
    expected = {f"reconstruction, face {name}": turned[of] for name, of in bins.items() if of.any()}
    assert len(expected) >= 2
    assert set(found) == {"reconstruction", *expected}
    for setting, cosines in expected.items():
        assert found[setting].value == pytest.approx(cosines.mean(), abs=1e-4)
        assert (found[setting].n, found[setting].metric) == (len(cosines), "id_portraits")


def test_a_face_whose_side_is_the_end_of_a_range_is_in_the_larger_one(known, monkeypatch):
    """Faces are found in squares of whole pixels, and so are the ends of TokBench's ranges at 320 px."""
    sides = torch.tensor([3.0, 4.0, 4.0, 5.0, 7.0, 8.0, 9.0, torch.nan])
    known.networks.face = replace(known.networks.face, sides=lambda images: sides)
    monkeypatch.setattr(identity, "FACE_SIDES", (0.0, 4 / 32, 8 / 32, np.inf))
    known.dataset = replace(known.dataset, attribute_names=(), attributes=None, identities=None)
    system = checked.Checked("quarters", Quarters(), torch.device("cpu"))
    counts = {r.setting.partition(", face ")[2]: r.n for r in measured(known, system)}
    assert counts == {"": 8, "0 to 4 px": 1, "4 to 8 px": 4, "8 or more px": 2}


def test_the_error_of_different_people_is_the_spread_over_people():
    """Every pair counts two people, so pairs are not independent: 400 draws of 40 people."""
    rng = np.random.default_rng(0)
    values, stated = [], []
    for _ in range(400):
        angles = rng.normal(0, 0.6, 40)
        face = FaceEmbedding("angle", "id_portraits", 32, "0" * 64, embed)
        on_circle = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], 1))
        others = face.with_others(on_circle).numpy()
        values.append(others.mean())
        stated.append(mean_of_different_people(others, Units("", np.arange(40))).stderr)
    assert 0.85 < np.sqrt(np.mean(np.square(stated))) / np.std(values, ddof=1) < 1.2


def test_data_with_other_attributes_has_reconstructions_and_edits_of_the_prevalent(known):
    """Hat is one person's; half of the others have a tie."""
    hat = known.dataset.identities == known.dataset.identities[known.dataset.indices("test")[0]]
    attributes = np.stack([hat, known.dataset.attributes[:, 0]], 1)
    names = "Hat", "Tie"
    known.dataset = replace(known.dataset, attribute_names=names, attributes=attributes)
    system = checked.Checked("quarters", Quarters(), torch.device("cpu"))
    settings = {r.setting.split()[0] for r in measured(known, system) if r.value is not None}
    assert settings == {"reconstruction", "Tie"}
    assert references(known)


def test_without_an_embedding_there_is_no_range(context):
    with pytest.raises(NotAvailable):
        _ = context.networks.face
    assert references(context) == []
