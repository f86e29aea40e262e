"""`--init CHECKPOINT`: start from a trained model, or train a new latent DDIM on its autoencoder.

Encoder and UNet come from the checkpoint, with their settings. The latent DDIM is the preset's and
always starts from scratch: it learns z_sem as normalised over the images of this training.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from diffae.checkpoints import checkpoint
from diffae.checkpoints.checkpoint import Folder, check_state
from diffae.checkpoints.official import OfficialCheckpoint
from diffae.checkpoints.trained_on import TrainedOn
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER, ModelConfig
from diffae.system.errors import UserError
from diffae.train.presets import Preset

PARTS = ("unet.", "encoder.")  # what is taken over, by the names of its tensors
MEANING = ("prediction", "norm_groups")  # of the model: they change results, but no shape


@dataclass(frozen=True)
class Init:
    """A checkpoint: its path as given, opened, its hash, and the images that it was trained on.

    `kept` says that its encoder and UNet are not trained further.
    """

    given: str
    found: Folder | OfficialCheckpoint
    sha256: str
    trained_on: TrainedOn | None
    kept: bool = False

    @staticmethod
    def open(given: str) -> "Init":
        """Open whatever `from_pretrained` takes. Raises UserError as that does."""
        found = checkpoint.open_checkpoint(given)
        return Init(given, found, found.fingerprint(), checkpoint.trained_on(given))

    def adapt(self, preset: Preset) -> Preset:
        """`preset` with the model of the checkpoint, and without a start for its encoder.

        Raises UserError if one is an autoencoder and the other a baseline.
        """
        theirs, ours = self.found.config.kind, preset.model.kind
        if theirs != ours:
            kinds = f"holds a {theirs}, and preset {preset.name} trains a {ours}"
            raise UserError(f"--init {self.given}: {kinds}")
        model = replace(self.found.config, latent=preset.model.latent)
        return replace(preset, model=model, encoder=None)

    def refuse_misfit(self, preset: Preset) -> None:
        """Raise UserError, naming settings and tensors, if the weights do not fit the preset's model."""
        settings = self._other_settings(preset.model)
        meant = [name for name in settings if name in MEANING or (self.kept and name != "dropout")]
        if meant:
            told = "; ".join(settings[name] for name in meant)
            trained = "for which its weights were trained"
            why = "which --stages keeps as it is" if self.kept else trained
            raise UserError(f"--init {self.given}: {told}, {why}; leave out the --set")
        if _shapes(self.found.config) != _shapes(preset.model):
            told = "; ".join(settings.values())
            raise UserError(f"--init {self.given}: does not fit: {told}; leave out the --set")

    def _other_settings(self, model: ModelConfig) -> dict[str, str]:
        """Settings of the networks taken over that differ from the checkpoint's, by name, in words."""
        theirs, ours = self.found.config.to_json(), model.to_json()
        return {
            name: f"model.{name} is {value} there and {ours[name]} here"
            for name, value in theirs.items()
            if name != "latent" and value != ours[name]
        }

    def give(self, model: DiffusionAutoencoder | DDIM) -> None:
        """Copy the checkpoint's weights, in float32, into the model's encoder and UNet."""
        expected = {name: t for name, t in model.state_dict().items() if name.startswith(PARTS)}
        found = self.found.weights(expected)
        state = {name: found[name] for name in expected if name in found}
        check_state(state, expected, str(self.found.path))
        model.load_state_dict({name: t.float() for name, t in state.items()}, strict=False)

    @property
    def decides(self) -> dict[str, Any]:
        """What of it decides the result of a training; its path does not."""
        return {"sha256": self.sha256, "kept": self.kept}

    def to_json(self) -> dict[str, Any]:
        return {"checkpoint": self.given, **self.decides}


def network_of(config: ModelConfig) -> DiffusionAutoencoder | DDIM:
    return DiffusionAutoencoder(config) if config.kind == AUTOENCODER else DDIM(config)


def _shapes(config: ModelConfig) -> dict[str, list[int]]:
    """The tensors of encoder and UNet."""
    with torch.device("meta"):
        model = network_of(config)
    tensors = model.state_dict()
    return {name: list(t.shape) for name, t in tensors.items() if name.startswith(PARTS)}
