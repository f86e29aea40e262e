"""Directions of attributes: linear classifiers of z_sem.

They are saved in a file, learnt from labels, or found beside a checkpoint. A file is safetensors:
the probe's `weight` A x d, `bias` A, `mean` d and `std` d (`probes.LinearProbe`), and in its
metadata the attributes' names, the SHA-256 of the checkpoint whose z_sem they read, and how they
were learnt. The authors' `*_autoenc_cls/last.ckpt` is read too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffae.checkpoints import checkpoint, official
from diffae.data import Dataset
from diffae.data.portraits.attributes import ATTRIBUTES
from diffae.model import DiffusionAutoencoder
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import file_size, writing
from diffae.system.progress import shown
from probes import LinearProbe, fit_adam_paper, fit_lbfgs

NAME = "classifier.safetensors"  # beside a checkpoint's weights
FORM = "diffae classifier 1"
AT_ONCE = 64  # images of a data set that are encoded together
LARGEST = 1 << 28  # bytes of a classifier's file
C = 0.1  # for directions learnt from two folders: the best of 1e-4 to 1, or close to it, on 10 to 200 portraits of each


@dataclass(frozen=True)
class Classifier:
    """A linear classifier for each of A attributes, on the z_sem [N, d] of one checkpoint.

    `checkpoint` is the SHA-256 of that checkpoint, empty if the file does not have it; `made` says in
    words how it was learnt.
    """

    names: tuple[str, ...]
    probe: LinearProbe
    checkpoint: str = ""
    made: str = ""

    def index(self, name: str) -> int:
        """The column of an attribute. Raises UserError."""
        if name not in self.names:
            raise UserError(f"no attribute {name!r:.60}{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def move(self, strengths: Mapping[str, float]) -> Tensor:
        """The change that an edit adds to z_sem [1, d].

        It is the sum over attributes of s sqrt(d) w / |w|, on normalised z_sem.
        """
        total = torch.zeros(1, len(self.probe.mean))
        for name, strength in strengths.items():
            column = self.index(name)
            if not self.probe.weight[column].any():
                raise UserError(f"{name}: learnt from one class only, it has no direction")
            total += self.probe.move(column, torch.tensor([float(strength)]))
        return total

    def logits(self, z: Tensor) -> Tensor:
        """Logits [N, A] of z_sem [N, d]."""
        return self.probe.logits(z.cpu())

    def save(self, path: Path) -> None:
        """Write a file that `load` reads, whole or not at all. An existing file is replaced."""
        notes = {"form": FORM, "names": json.dumps(self.names)}
        notes.update(checkpoint=self.checkpoint, made=self.made)
        with writing(path, "or choose another file"):
            path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.write_tensors(vars(self.probe), path, notes)

    @staticmethod
    def load(path: str | Path) -> "Classifier":
        """Load a file of ours, or the authors' `last.ckpt` of a classifier.

        Raises UserError if it is neither or damaged.
        """
        path = Path(path)
        return _load_official(path) if path.suffix == ".ckpt" else _load(path)


def _load(path: Path) -> Classifier:
    file_size(path, LARGEST)
    try:
        with safe_open(path, "pt") as opened:
            notes = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}
        names = tuple(json.loads(notes["names"]))
        probe = LinearProbe(**tensors)
        form, made_on, made = notes["form"], notes["checkpoint"], notes["made"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: not a classifier of z_sem; see `learn`, --classifier") from None
    count, d = len(names), probe.mean.numel()
    shapes = {"weight": (count, d), "bias": (count,), "mean": (d,), "std": (d,)}
    fits = names and {name: tensor.shape for name, tensor in tensors.items()} == shapes
    fits = fits and all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    if form != FORM or not fits or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: a damaged classifier, or of another version; learn it again")
    return Classifier(names, probe, made_on, made)


def _load_official(path: Path) -> Classifier:
    """The authors' classifier.

    Their file names neither the attributes, which are CelebA's in its order, nor the checkpoint.
    """
    probe = LinearProbe(**official.read_classifier(path))
    if len(probe.weight) != len(ATTRIBUTES):
        raise UserError(f"{path}: {len(probe.weight)} classifiers, and CelebA has 40 attributes")
    return Classifier(tuple(ATTRIBUTES), probe, made="the authors'")


def classifier_of(model: DiffusionAutoencoder, path: Path | None = None) -> Classifier:
    """The classifier of a file, by default of the one beside the model's checkpoint.

    Raises UserError if there is none, or if it is of another checkpoint.
    """
    if path is None and model.source is not None:
        path = (model.source if model.source.is_dir() else model.source.parent) / NAME
        path = path if path.is_file() else None
    if path is None:
        remedy = "give --classifier FILE, or make one: images learn"
        raise UserError(f"no classifier beside this checkpoint; {remedy}")
    classifier = Classifier.load(path)
    d, fingerprint = len(classifier.probe.mean), model.fingerprint
    if d != model.latent_dim:
        raise UserError(f"{path}: for a z_sem of {d} numbers, this has {model.latent_dim}")
    if classifier.checkpoint and fingerprint and classifier.checkpoint != fingerprint:
        other = f"SHA-256 {classifier.checkpoint[:12]}..., this is {fingerprint[:12]}..."
        raise UserError(f"{path}: trained on a different checkpoint ({other})")
    return classifier


# ----------------------------------------------------------------------------------------------
# Learning


def learn(
    model: DiffusionAutoencoder, z: Tensor, labels: np.ndarray, names: Iterable[str]
) -> Classifier:
    """Learn the paper's classifier from codes z [N, d] with attributes bool [N, A].

    It takes 9,375 steps of Adam, and is the one that the harness's `identity` edits by.
    """
    probe = fit_adam_paper(z.cpu(), torch.from_numpy(labels), seed=0)
    made = f"{len(z):,} labelled images, Adam as the authors', seed 0"
    return Classifier(tuple(names), probe, model.fingerprint, made)


def learn_from_two(
    model: DiffusionAutoencoder, having: Tensor, lacking: Tensor, name: str = "attribute"
) -> Classifier:
    """Learn one attribute from z_sem [N, d] of images that have it, and [M, d] of images without it.

    It is a logistic regression with a penalty, on z_sem normalised by the model's statistics if it
    has any: the moments of few images are poor estimates. Raises UserError if there are no images.
    """
    if not len(having) or not len(lacking):
        raise UserError(f"{name}: needs an image that has it and one that lacks it, at least")
    z = torch.cat([having, lacking]).cpu()
    labels = (torch.arange(len(z)) < len(having))[:, None]
    mean, std = _moments(model, z)
    inner = fit_lbfgs((z - mean) / std, labels, C=C)
    # The fit normalises by moments of its own: express its logits on z_sem normalised by `mean` and `std`.
    weight = inner.weight / torch.where(inner.std > 0, inner.std, torch.ones_like(inner.std))
    bias = inner.bias - weight @ inner.mean
    made = f"{len(having)} images with and {len(lacking)} without"
    return Classifier((name,), LinearProbe(weight, bias, mean, std), model.fingerprint, made)


def _moments(model: DiffusionAutoencoder, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [d] of z_sem: over the training images if the model has them."""
    if model.latent_net is not None:
        return model.z_mean[0].cpu(), model.z_std[0].cpu()
    std, mean = torch.std_mean(z, dim=0)
    return mean, torch.where(std > 0, std, torch.ones_like(std))


def codes_of(model: DiffusionAutoencoder, data: Dataset, indices: np.ndarray) -> Tensor:
    """z_sem [len(indices), d] of a data set's images, on the CPU."""
    batches = [indices[start : start + AT_ONCE] for start in range(0, len(indices), AT_ONCE)]
    codes = [torch.empty(0, model.latent_dim)]
    for rows in shown(batches, "encoding", "images", len(indices), len):
        codes.append(model.encode(data.batch(rows).to(model.device)).cpu())
    return torch.cat(codes)
