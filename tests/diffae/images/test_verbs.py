"""The verbs on the packaged model, against the model's own methods and the harness."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from benchmarks.systems import load
from diffae import images
from diffae.data.dataset import in_floats
from diffae.images import verbs
from diffae.images.classifier import Classifier, classifier_of
from diffae.system.errors import UserError
from probes import LinearProbe

FEW = {"steps": 2}


def test_a_reconstruction_is_both_codes_decoded(model, x):
    x = x[:1]
    z = model.encode(x)
    x_T = model.encode_stochastic(x, z, 10, "fast")
    torch.testing.assert_close(images.reconstruct(model, x), model.decode(z, x_T, 10, "fast"))
    assert float((images.reconstruct(model, x) - x).square().mean()) < 1e-3


def test_x_T_keeps_a_photograph_and_z_sem_draws(model):
    """What the notice on photographs says: a variation, which has z_sem alone, is far from it."""
    face = Image.fromarray(astronaut()[:150, 150:300]).resize((32, 32), Image.Resampling.BOX)
    x = in_floats(np.asarray(face)[None])
    kept, drawn = images.reconstruct(model, x), images.vary(model, x, 1)[:, 0]
    away = [float((one - x).square().mean()) for one in (kept, drawn)]
    assert 0 < 20 * away[0] < away[1]


def test_an_edit_is_the_harness_s(model, x):
    """`benchmarks.tasks.identity`, by the same classifier and its system: strength means the same."""
    known, strength = classifier_of(model), 0.3
    system = load("diffae").solving("fast")
    z = system.encode_semantic(x)
    by = known.probe.move(known.index("Male"), torch.full((len(x),), strength))
    x_T = system.encode_stochastic(x, z, 2)
    from benchmarks.systems import Code

    theirs = system.decode(Code(system.move(z, by), x_T), 2)
    ours = images.edit(model, x, {"Male": strength}, **FEW)
    torch.testing.assert_close(ours, theirs)


def test_the_step_of_an_edit_has_the_authors_length(model):
    """manipulate.ipynb: normalised z + s sqrt(512) w / |w|, so the step is s sqrt(d) long; several
    add up.
    """
    known = classifier_of(model)
    one, other = known.move({"Male": 0.3}), known.move({"Young": -0.2})
    assert float((one / known.probe.std).norm()) == pytest.approx(0.3 * math.sqrt(256), rel=1e-5)
    torch.testing.assert_close(known.move({"Male": 0.3, "Young": -0.2}), one + other)


def test_an_edit_moves_the_classifier_as_asked(model, x):
    known = classifier_of(model)
    column = known.index("Male")

    def logits(strength):
        edited = images.edit(model, x, {"Male": strength}, **FEW)
        return known.logits(model.encode(edited))[:, column]

    assert (logits(0.4) > logits(0.0)).all() and (logits(-0.4) < logits(0.0)).all()


def test_variations_keep_z_and_share_their_noise(model, x):
    made = images.vary(model, x[:2], count=3, seed=5, **FEW)
    assert made.shape == (2, 3, 3, 32, 32)
    alone = images.vary(model, x[1:2], count=2, seed=5, **FEW)
    torch.testing.assert_close(made[1:, :2], alone, atol=2e-3, rtol=0)
    assert not torch.allclose(made[0, 0], images.vary(model, x[:1], 1, 6, **FEW)[0, 0], atol=0.1)


def test_samples_are_the_harness_s_and_know_their_number(model):
    system = load("diffae").solving("fast")
    theirs = system.sample([0, 1, 2], 3, 2)
    torch.testing.assert_close(images.sample(model, 3, seed=3, **FEW), theirs)
    last = images.sample(model, 1, seed=3, first=2, **FEW)
    torch.testing.assert_close(last, theirs[2:], atol=2e-3, rtol=0)


@pytest.mark.parametrize("present", [True, False])
def test_accepted_samples_are_of_the_class(model, present, monkeypatch):
    """By the classifier, above the threshold; and those that were passed over are not."""
    monkeypatch.setattr(verbs, "AT_ONCE", 5)
    classifier = classifier_of(model)
    wanted = {"seed": 1, "present": present, **FEW}
    accepted = images.sample_class(model, classifier, "Male", 4, **wanted)
    assert len(accepted.images) == 4 and (accepted.probability > 0.5).all()
    system = load("diffae").solving("fast")
    z = system.sample_latents(range(accepted.tried), 1, 2)
    p = torch.sigmoid(classifier.logits(z)[:, classifier.index("Male")])
    p = p if present else 1 - p
    assert torch.nonzero(p > 0.5).flatten().tolist() == accepted.numbers
    torch.testing.assert_close(accepted.probability, p[accepted.numbers])
    pictures = system.sample(accepted.numbers, 1, 2)
    torch.testing.assert_close(accepted.images, pictures, atol=2e-3, rtol=0)
    for pool, count in ((accepted.tried, 4), (accepted.tried - 1, 3)):
        monkeypatch.setattr(verbs, "POOL", pool)
        fewer = images.sample_class(model, classifier, "Male", 4, **wanted)
        assert (fewer.numbers, fewer.tried) == (accepted.numbers[:count], pool)
        assert len(fewer.images) == len(fewer.probability) == count


def test_a_class_of_which_no_sample_is_says_so(model, monkeypatch):
    monkeypatch.setattr(verbs, "POOL", 70)
    never = LinearProbe(
        torch.zeros(1, 256), torch.tensor([-1.0]), torch.zeros(256), torch.ones(256)
    )
    with pytest.raises(UserError, match="none of 70 samples was accepted as Any"):
        images.sample_class(model, Classifier(("Any",), never), "Any", 1, **FEW)


def test_pixels_are_rounded_as_a_png_keeps_them():
    ends = torch.tensor([-1.2, -1.0, 0.0, 1.0, 1.5]).reshape(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert np.asarray(images.to_pil(ends)[0])[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, x: images.edit(m, x, {"Smilling": 1}), "no attribute 'Smilling'; did you mean Smiling"),
        (lambda m, x: images.vary(m, x, 0), "count must be a whole number from 1"),
        (lambda m, x: images.interpolate(m, x, x), "one image and one image, not 4 and 4"),
        (lambda m, x: images.reconstruct(m, x, solver="slow"), "no solver 'slow'"),
        (lambda m, x: images.edit(m, 255 * x, {"Male": 1}), "must be in"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(model, x, call, words):
    with pytest.raises(UserError, match=words):
        call(model, x)
