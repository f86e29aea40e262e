"""`--stages`: the stages of a preset that are trained now, and the DDIM baseline of an autoencoder."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from diffae.networks.config import AUTOENCODER as AUTOENCODER_KIND
from diffae.networks.config import DDIM_BASELINE
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.train import state
from diffae.train.init import Init
from diffae.train.presets import PRESETS, AnyPreset, Preset
from diffae.train.stages import IMAGE, state_path

AUTOENCODER, LATENT, BASELINE = "autoencoder", "latent", "baseline"
BASELINE_FOLDER = "ddim"  # in the folder of its autoencoder


def stages_of(preset: AnyPreset) -> tuple[str, ...]:
    """The stages of a preset that can be trained, in order.

    For presets of other systems none can be chosen.
    """
    if not isinstance(preset, Preset):
        return ()
    if preset.model.kind != AUTOENCODER_KIND:
        return (BASELINE,)
    return AUTOENCODER, *([LATENT] if preset.latent is not None else []), BASELINE


def own_stages(preset: AnyPreset) -> tuple[str, ...]:
    """The stages that are written to the preset's own folder, and trained by default."""
    found = stages_of(preset)
    return tuple(stage for stage in found if stage != BASELINE or len(found) == 1)


def chosen(preset: AnyPreset, text: str | None) -> tuple[str, ...]:
    """The stages that `--stages` names, in the order in which they are trained.

    Raises UserError for a name that the preset does not have.
    """
    if text is None:
        return own_stages(preset)
    there = stages_of(preset)
    asked = [word.strip() for word in text.split(",")]
    for word in asked:
        if word not in there:
            near = did_you_mean(word, there)
            raise UserError(f"--stages {text}: {preset.name} has no stage {word!r}{near}")
    return tuple(stage for stage in there if stage in asked)


def baseline_of(preset: Preset) -> Preset:
    """The DDIM baseline of an autoencoder: the same UNet without encoder and z_sem.

    Its schedule is that of the preset NAME-ddim, if there is one, else the autoencoder's; changes of
    the autoencoder's schedule by --set apply to it too.
    """
    named = PRESETS.get(f"{preset.name}-ddim", preset)
    before = asdict(PRESETS.get(preset.name, preset).image)
    changed = {k: v for k, v in asdict(preset.image).items() if v != before[k]}
    model = replace(preset.model, kind=DDIM_BASELINE, encoder_channel_mult=(), latent=None)
    image = replace(named.image, **changed)
    bare = replace(preset, model=model, image=image, latent=None, encoder=None, pixel_weight=0.0)
    name, expect = f"{preset.name}-ddim", named.expect if named is not preset else ""
    return replace(bare, name=name, description=named.description, expect=expect)


def started(init: Init, preset: Preset, stages: Sequence[str]) -> Init:
    """`init` for these stages of `preset`; its networks are kept if only the latent DDIM is trained.

    Raises UserError if it does not apply to these stages, or if its weights do not fit.
    """
    if stages == (BASELINE,) and own_stages(preset) != stages:
        alone = baseline_of(preset).name
        raise UserError(f"--init: this baseline is trained from scratch; use preset {alone}")
    init = replace(init, kept=LATENT in stages and AUTOENCODER not in stages)
    init.refuse_misfit(preset)
    return init


def refuse_unfinished(preset: AnyPreset, stages: Sequence[str], out: Path) -> None:
    """Raise UserError if a latent DDIM is to be trained on an autoencoder that is not finished."""
    if LATENT not in stages or AUTOENCODER in stages or not isinstance(preset, Preset):
        return
    step, of = state.step_on_disk(state_path(out, IMAGE)), preset.image.steps
    if step < of:
        first = f"train it first (--stages {','.join((AUTOENCODER, *stages))}), or give --init"
        raise UserError(f"--stages: the autoencoder in {out} is at step {step} of {of}: {first}")
