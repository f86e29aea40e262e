"""Classifiers of z_sem: the packaged one, files, and learning from few images."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusal import refused_file
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from diffae import DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.checkpoints.packaged import PACKAGED
from diffae.data import portraits
from diffae.data.dataset import in_floats
from diffae.data.partition import TEST
from diffae.images import classifier as classifiers
from diffae.images.classifier import Classifier, classifier_of, learn, learn_from_two
from diffae.system.errors import UserError
from probes import auroc, fit_adam_paper

HELD_OUT = [i for i in range(30_000, 30_800) if portraits.portrait(0, i).partition == TEST][:96]


@pytest.fixture(scope="module")
def drawn(model):
    """Codes and attributes of 96 portraits that are in nobody's training split."""
    people = [portraits.portrait(0, i) for i in HELD_OUT]
    pixels = [portraits.render(one, 64)[::2, ::2] for one in people]
    z = model.encode(in_floats(np.stack(pixels)))
    return z, np.array([list(one.attributes.values()) for one in people])


def test_the_packaged_classifier_is_of_the_packaged_checkpoint(model):
    known = classifier_of(model)
    assert known.checkpoint == checkpoint.open_checkpoint("portraits").fingerprint()
    assert known.names == tuple(portraits.ATTRIBUTES) and "24,156 labelled images" in known.made


def test_the_packaged_classifier_knows_portraits(model, drawn):
    z, labels = drawn
    known = classifier_of(model)
    logits = known.logits(z).numpy()
    for name in ("Male", "Eyeglasses", "Blond_Hair", "Wearing_Hat"):
        column = known.index(name)
        assert auroc(logits[:, column], labels[:, column]) > 0.97, name


def test_learning_is_the_harness_s(model, drawn):
    """Adam as in `identity` (benchmarks.tasks.shared.probe_fits.fit_adam)."""
    z, labels = drawn
    learnt = learn(model, z, labels, portraits.ATTRIBUTES)
    theirs = fit_adam_paper(z, torch.from_numpy(labels), seed=0)
    assert torch.equal(learnt.logits(z), theirs.logits(z))
    assert learnt.names == tuple(portraits.ATTRIBUTES) and "seed 0" in learnt.made


def test_two_folders_teach_scikit_learn_s_direction(model, drawn):
    """LogisticRegression(C=0.1) on standardised z, its gradient on the model's own scale."""
    z, labels = drawn
    male = labels[:, portraits.ATTRIBUTES.index("Male")]
    found = learn_from_two(model, z[male], z[~male], "Male")
    both = torch.cat([z[male], z[~male]]).numpy().astype(np.float64)
    std = both.std(0, ddof=1)
    fit = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000)
    fit.fit((both - both.mean(0)) / std, np.arange(len(both)) < male.sum())
    theirs = torch.from_numpy(fit.coef_[0] / std * model.z_std[0].numpy())
    cosine = torch.cosine_similarity(found.probe.weight[0].double(), theirs, dim=0)
    assert float(cosine) > 0.9999
    logits = fit.decision_function((both - both.mean(0)) / std)
    ours = found.logits(torch.from_numpy(both).float())[:, 0].numpy()
    np.testing.assert_allclose(ours, logits, atol=0.01)
    packaged = classifier_of(model)
    same = found.probe.direction(0) @ packaged.probe.direction(packaged.index("Male"))
    assert float(same) > 0.6


def test_one_image_of_each_is_enough_to_try(model, drawn):
    z, _ = drawn
    found = learn_from_two(model, z[:1], z[1:2])
    assert torch.isfinite(found.move({"attribute": 1.0})).all()
    with pytest.raises(UserError, match="lacks it, at least"):
        learn_from_two(model, z[:0], z[1:2])


def test_a_file_is_read_as_it_was_written(model, tmp_path):
    known = classifier_of(model)
    known.save(tmp_path / "new" / "c.safetensors")
    again = Classifier.load(tmp_path / "new" / "c.safetensors")
    for name in ("names", "checkpoint", "made"):
        assert getattr(again, name) == getattr(known, name)
    for name in ("weight", "bias", "mean", "std"):
        assert torch.equal(getattr(again.probe, name), getattr(known.probe, name))


def test_a_classifier_of_another_checkpoint_is_refused(model, tmp_path):
    replace(classifier_of(model), checkpoint="0" * 64).save(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="other.safetensors: trained on a different checkpoint"):
        classifier_of(model, tmp_path / "other.safetensors")


def test_a_checkpoint_without_a_classifier_says_what_to_do(tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(PACKAGED / "portraits" / name, tmp_path)
    bare = DiffusionAutoencoder.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="no classifier beside this checkpoint.*images learn"):
        classifier_of(bare)
    shutil.copy(PACKAGED / "portraits" / classifiers.NAME, tmp_path)
    assert len(classifier_of(bare).names) == 40


def damaged(tmp_path, **changes):
    """A classifier of two attributes and three numbers, with something wrong."""
    tensors = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    tensors |= {"mean": torch.zeros(3), "std": torch.ones(3)}
    notes = {"form": classifiers.FORM, "names": '["A", "B"]', "checkpoint": "", "made": ""}
    for name, value in changes.items():
        (tensors if isinstance(value, torch.Tensor) else notes)[name] = value
    path = tmp_path / "c.safetensors"
    save_file(tensors, path, notes)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": torch.ones(2, 4)},
        {"std": torch.tensor([1.0, 2.0, torch.nan])},
        {"names": '["A"]'},
        {"names": "[1, 2]"},
        {"names": "nothing"},
        {"form": "other"},
        {"extra": torch.ones(1)},
    ],
)
def test_a_damaged_file_is_refused(tmp_path, changes):
    assert Classifier.load(damaged(tmp_path)).names == ("A", "B")
    with pytest.raises(UserError, match=r"c\.safetensors: (not a|a damaged) classifier"):
        Classifier.load(damaged(tmp_path, **changes))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "c.safetensors").write_bytes(b"no")
    for name, words in (("c.safetensors", "not a classifier"), ("no", "no such")):
        assert words in refused_file(Classifier.load, tmp_path / name)


def test_an_attribute_of_one_class_has_no_direction(tmp_path):
    known = Classifier.load(damaged(tmp_path, weight=torch.tensor([[1.0, 0, 0], [0, 0, 0]])))
    with pytest.raises(UserError, match="B: learnt from one class only"):
        known.move({"A": 1, "B": 1})
