"""`--init CHECKPOINT`: start from a trained model, or train a new latent DDIM on its autoencoder.

Encoder and UNet come from the checkpoint, with their settings. The latent DDIM is the preset's and
always starts from scratch: it learns z_sem as normalised over the images of this training.
"""

from dataclasses import dataclass, replace

from diffae.checkpoints.checkpoint import Checkpoint, check_state, open_checkpoint
from diffae.checkpoints.trained_on import TrainedOn
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER, ModelConfig
from diffae.system.errors import UserError
from diffae.system.files import Json
from diffae.train.presets import Preset

PARTS = ("unet.", "encoder.")  # the tensors that are taken over, by the start of their names
FREE, KEPT_FREE = ("dropout", "image_size"), ("dropout",)  # settings that may differ


@dataclass(frozen=True)
class Init:
    """A checkpoint with its path as given, its hash, and the images that it was trained on.

    `kept` says that its encoder and UNet are not trained further.
    """

    given: str
    checkpoint: Checkpoint
    sha256: str
    trained_on: TrainedOn | None
    kept: bool = False

    @staticmethod
    def open(given: str, kept: bool = False) -> "Init":
        """Open whatever `from_pretrained` takes. Raises UserError as that does."""
        opened = open_checkpoint(given)
        return Init(given, opened, opened.fingerprint(), opened.trained_on(), kept)

    def adapt(self, preset: Preset) -> Preset:
        """`preset` with the model of the checkpoint, and without a start for its encoder.

        Raises UserError if one is an autoencoder and the other a baseline.
        """
        kind, wanted = self.checkpoint.config.kind, preset.model.kind
        if kind != wanted:
            kinds = f"holds a {kind}, and preset {preset.name} trains a {wanted}"
            raise UserError(f"--init {self.given}: {kinds}")
        model = replace(self.checkpoint.config, latent=preset.model.latent)
        return replace(preset, model=model, encoder=None)

    def refuse_misfit(self, preset: Preset) -> None:
        """Raise UserError, naming settings, if the weights do not fit the preset's model.

        All settings must be those of the checkpoint's training, except those of FREE.
        """
        trained, wanted = self.checkpoint.config.to_json(), preset.model.to_json()
        free = ("latent", *(KEPT_FREE if self.kept else FREE))
        other = [n for n, value in trained.items() if n not in free and value != wanted[n]]
        if other:
            texts = (f"model.{n} is {trained[n]} there and {wanted[n]} here" for n in other)
            why = "which --stages keeps as it is" if self.kept else "for which it was trained"
            raise UserError(f"--init {self.given}: {'; '.join(texts)}, {why}; leave out the --set")

    def give(self, model: DiffusionAutoencoder | DDIM) -> None:
        """Copy the checkpoint's weights, in float32, into the model's encoder and UNet."""
        expected = {name: t for name, t in model.state_dict().items() if name.startswith(PARTS)}
        weights = self.checkpoint.weights(expected)
        state = {name: weights[name] for name in expected if name in weights}
        check_state(state, expected, str(self.checkpoint.path))
        model.load_state_dict({name: t.float() for name, t in state.items()}, strict=False)

    @property
    def decides(self) -> dict[str, Json]:
        """The fields that decide the result of a training; the path is not one of them."""
        return {"sha256": self.sha256, "kept": self.kept}

    def to_json(self) -> dict[str, Json]:
        return {"checkpoint": self.given, **self.decides}


def network_of(config: ModelConfig) -> DiffusionAutoencoder | DDIM:
    return DiffusionAutoencoder(config) if config.kind == AUTOENCODER else DDIM(config)
