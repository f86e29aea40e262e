"""Profiles: how much of everything is computed, in one place.

`paper` is the paper's protocol; `standard` is what a machine with a GPU does in an hour or two; `quick` ends
in just under ten minutes on two CPU cores; `smoke` ends in a minute and proves only that everything runs.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from diffae.cli import did_you_mean, whole_number
from diffae.config import NUM_TIMESTEPS
from diffae.data.dataset import SPLITS
from diffae.data.portraits.write import LARGEST_COUNT
from diffae.errors import UserError

LARGEST = 10**9
ACCEPTANCE = (
    "probability",
    "threshold",
    "reject",
)  # the rules of benchmarks/tasks/fewshot/classes.py


@dataclass(frozen=True)
class Profile:
    """Sizes of the work. Counts are upper bounds: a smaller data set is used whole, and the record says so.

    steps              T of Tables 1, 2 and 4 (inversion and decoding alike)
    portraits          how many portraits are drawn when no --data is given
    fit_images         training images that pixels + PCA is fitted on
    *_images, *_pairs  how many images (pairs) a benchmark looks at
    probe_adam_paper   also train the probe as the authors did (Adam, 9,375 steps)
    *_split            the images a benchmark looks at: "test", "train", "valid" or "all"
    fid_reference      images on the other side of an unconditional Frechet distance
    fewshot_reference  images among which the real ones of a class are looked for
    fewshot_pool       latents sampled before rejection; fewshot_samples of a class are wanted from it
    fewshot_acceptance rules by which latents are accepted, see fewshot_classes.RULES
    changed            fields that --set or --steps changed
    variation_draws    decodes of each image with one of its two codes exchanged
    denoising_timesteps  the t that images are noised to
    memorisation_train training images among which the nearest one is looked for
    cost_*             batch size, T and timed repetitions of the times
    """

    name: str
    description: str
    portraits: int
    steps: tuple[int, ...]
    reconstruction_images: int
    fit_images: int
    probe_train: int
    probe_valid: int
    probe_test: int
    probe_adam_paper: bool
    identity_images: int
    identity_strengths: tuple[float, ...]
    identity_steps: int
    interpolation_pairs: int
    interpolation_steps: int
    fid_samples: int
    fid_reference: int
    fid_steps: tuple[int, ...]
    fewshot_reference: int
    fewshot_samples: int
    fewshot_pool: int
    fewshot_seeds: int
    fewshot_steps: int
    variation_images: int
    variation_draws: int
    variation_steps: int
    denoising_images: int
    denoising_timesteps: tuple[int, ...]
    memorisation_train: int
    cost_batch: int
    cost_steps: int
    cost_repeats: int
    fewshot_binary_k: int = 50
    fewshot_pu_positives: int = 100
    fewshot_pu_unlabeled: int = 10_000
    fewshot_acceptance: tuple[str, ...] = ("probability",)
    reconstruction_split: str = "test"
    fid_reference_split: str = "train"
    autoencoding_split: str = "test"
    changed: tuple[str, ...] = ()


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            description="a minute: proves that everything runs, the numbers mean nothing",
            portraits=640,
            steps=(2, 4),
            reconstruction_images=16,
            fit_images=192,
            probe_train=320,
            probe_valid=64,
            probe_test=160,
            probe_adam_paper=False,
            identity_images=8,
            identity_strengths=(0.3,),
            identity_steps=4,
            interpolation_pairs=4,
            interpolation_steps=4,
            fid_samples=64,
            fid_reference=128,
            fid_steps=(4,),
            fewshot_reference=128,
            fewshot_samples=16,
            fewshot_pool=64,
            fewshot_seeds=2,
            fewshot_steps=4,
            variation_images=4,
            variation_draws=3,
            variation_steps=2,
            denoising_images=8,
            denoising_timesteps=(100, 500, 900),
            memorisation_train=128,
            cost_batch=2,
            cost_steps=2,
            cost_repeats=2,
            fewshot_binary_k=10,
            fewshot_pu_positives=10,
            fewshot_pu_unlabeled=100,
        ),
        Profile(
            name="quick",
            description="under ten minutes on two CPU cores: sees large changes only (see the overview)",
            portraits=10_000,
            steps=(10, 20, 50, 100),
            reconstruction_images=32,
            fit_images=2_048,
            probe_train=6_000,
            probe_valid=500,
            probe_test=1_500,
            probe_adam_paper=False,
            identity_images=32,
            identity_strengths=(0.15, 0.3),
            identity_steps=20,
            interpolation_pairs=24,
            interpolation_steps=20,
            fid_samples=384,
            fid_reference=2_048,
            fid_steps=(10, 20),
            fewshot_reference=2_048,
            fewshot_samples=128,
            fewshot_pool=640,
            fewshot_seeds=3,
            fewshot_steps=20,
            variation_images=12,
            variation_draws=5,
            variation_steps=10,
            denoising_images=512,
            denoising_timesteps=(100, 300, 500, 700, 900),
            memorisation_train=3_000,
            cost_batch=8,
            cost_steps=10,
            cost_repeats=3,
            fewshot_pu_unlabeled=2_000,
        ),
        Profile(
            name="standard",
            description="an hour or two on one GPU: small changes become visible",
            portraits=20_000,
            steps=(10, 20, 50, 100),
            reconstruction_images=1_000,
            fit_images=8_192,
            probe_train=12_000,
            probe_valid=2_000,
            probe_test=6_000,
            probe_adam_paper=True,
            identity_images=500,
            identity_strengths=(0.1, 0.2, 0.3, 0.4),
            identity_steps=100,
            interpolation_pairs=500,
            interpolation_steps=100,
            fid_samples=5_000,
            fid_reference=12_000,
            fid_steps=(10, 20, 50, 100),
            fewshot_reference=12_000,
            fewshot_samples=1_000,
            fewshot_pool=8_000,
            fewshot_seeds=3,
            fewshot_steps=100,
            variation_images=200,
            variation_draws=10,
            variation_steps=100,
            denoising_images=500,
            denoising_timesteps=tuple(range(50, 1_000, 50)),
            memorisation_train=12_000,
            cost_batch=32,
            cost_steps=100,
            cost_repeats=5,
        ),
        Profile(
            name="paper",
            description="the paper's sizes: 30k reconstructions, 50k samples, 5k samples a class",
            portraits=100_000,
            steps=(10, 20, 50, 100),
            reconstruction_images=30_000,
            fit_images=16_384,
            probe_train=1_000_000,
            probe_valid=1_000_000,
            probe_test=1_000_000,
            probe_adam_paper=True,
            identity_images=1_000,
            identity_strengths=(0.1, 0.2, 0.3, 0.4),
            identity_steps=100,
            interpolation_pairs=10_000,
            interpolation_steps=100,
            fid_samples=50_000,
            fid_reference=50_000,
            fid_steps=(10, 20, 50, 100),
            fewshot_reference=1_000_000,
            fewshot_samples=5_000,
            fewshot_pool=60_000,
            fewshot_seeds=3,
            fewshot_steps=100,
            fewshot_acceptance=ACCEPTANCE,
            reconstruction_split="all",
            fid_reference_split="all",
            variation_images=1_000,
            variation_draws=10,
            variation_steps=100,
            denoising_images=5_000,
            denoising_timesteps=tuple(range(50, 1_000, 50)),
            memorisation_train=1_000_000,
            cost_batch=32,
            cost_steps=100,
            cost_repeats=5,
        ),
    )
}


def override(profile: Profile, text: str) -> Profile:
    """`profile` with one field changed by `NAME=VALUE`. Raises UserError naming what is wrong.

    Lists are separated by commas, and a value that is there twice counts once. A whole number is at least
    1; of steps, and of the timesteps that noise is added at, there are a thousand.
    """
    name, separator, value = text.partition("=")
    known = [f.name for f in fields(Profile) if f.name not in ("name", "description", "changed")]
    if not separator or name not in known:
        raise UserError(f"--set {text}: no such setting{did_you_mean(name, known)}")
    try:
        parsed = _parse(value, getattr(profile, name))
        for part in parsed if isinstance(parsed, tuple) else (parsed,):
            _check(name, part)
    except ValueError as error:
        raise UserError(f"--set {text}: {error}") from None
    changed = tuple(dict.fromkeys((*profile.changed, name)))
    return replace(profile, changed=changed, **{name: parsed})


def _parse(text: str, like: Any) -> Any:
    """`text` as a value of the type of `like`."""
    if isinstance(like, tuple):
        return tuple(dict.fromkeys(_parse(part.strip(), like[0]) for part in text.split(",")))
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    if isinstance(like, int):
        return whole_number(text)
    return type(like)(text)


def _check(name: str, value: Any) -> None:
    """ValueError if `value` is none that the setting `name` can have."""
    if isinstance(value, str) and name.endswith("_split") and value not in (*SPLITS, "all"):
        raise ValueError(f"must be one of {', '.join(SPLITS)}, all")
    if name == "fewshot_acceptance" and value not in ACCEPTANCE:
        raise ValueError(f"no rule {value!r}{did_you_mean(value, ACCEPTANCE)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if type(value) is int and not 1 <= value <= _largest(name):
        bound = "at least 1" if value < 1 else f"at most {_largest(name)}"
        raise ValueError(f"must be {bound}")


def _largest(name: str) -> int:
    if name == "portraits":
        return LARGEST_COUNT
    if name == "denoising_timesteps":
        return NUM_TIMESTEPS - 1
    return NUM_TIMESTEPS if name.endswith("steps") else LARGEST
