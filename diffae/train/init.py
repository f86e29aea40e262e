"""`--init CHECKPOINT`: start from a trained model, or train a new latent DDIM on its autoencoder.

Encoder and UNet come from the checkpoint, with their settings. The latent DDIM is the preset's and
always starts from scratch: it learns z_sem as normalised over the images of this training.
"""

from dataclasses import dataclass, replace
from typing import Any

from diffae.checkpoints import checkpoint
from diffae.checkpoints.checkpoint import Folder, check_state
from diffae.checkpoints.official import OfficialCheckpoint
from diffae.checkpoints.trained_on import TrainedOn
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER, ModelConfig
from diffae.system.errors import UserError
from diffae.train.presets import Preset

PARTS = ("unet.", "encoder.")  # what is taken over, by the names of its tensors
FREE, KEPT_FREE = ("dropout", "image_size"), ("dropout",)  # settings that may differ


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
    def open(given: str, kept: bool = False) -> "Init":
        """Open whatever `from_pretrained` takes. Raises UserError as that does."""
        found = checkpoint.open_checkpoint(given)
        return Init(given, found, found.fingerprint(), checkpoint.trained_on(given), kept)

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
        """Raise UserError, naming settings, if the weights do not fit the preset's model.

        They were trained with all of its settings; a training may go on with others of FREE.
        """
        theirs, ours = self.found.config.to_json(), preset.model.to_json()
        free = ("latent", *(KEPT_FREE if self.kept else FREE))
        other = [n for n, value in theirs.items() if n not in free and value != ours[n]]
        if other:
            told = "; ".join(f"model.{n} is {theirs[n]} there and {ours[n]} here" for n in other)
            why = "which --stages keeps as it is" if self.kept else "for which it was trained"
            raise UserError(f"--init {self.given}: {told}, {why}; leave out the --set")

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
