"""A studio from a command's options."""

from pathlib import Path

from diffae import cli
from diffae.app.studio import Studio
from diffae.images.classifier import Classifier, beside, fingerprint_of
from diffae.images.run import checkpoint_name
from diffae.model import DiffusionAutoencoder


def studio(ckpt: str, classifier: Path | None, device: str | None, folder: Path) -> Studio:
    """The model with a classifier, that of the file or the one beside the checkpoint, or none. Raises UserError."""
    model = DiffusionAutoencoder.from_pretrained(ckpt, device or cli.default_device())
    fingerprint = fingerprint_of(model)
    place = classifier or beside(model)
    known = None if place is None else Classifier.load(place)
    if known is not None:
        known.check(model, fingerprint, place or "")
    settings = {"checkpoint": checkpoint_name(ckpt), "checkpoint_sha256": fingerprint}
    if known is not None:
        settings["classifier"] = known.made
    return Studio(model, known, settings, folder)
