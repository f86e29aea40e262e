"""What tests ask the registry of benchmarks, so that a new benchmark needs no entry in a table of theirs."""

from typing import Any, get_args

from benchmarks.core.profiles import PROFILES
from benchmarks.core.registry import REGISTRY
from benchmarks.core.sizes import is_capped, settings_of, steps_of
from diffae.system.settings import plain_type

EVERY = 10_000  # all images that there are
SOLVERS = ("ddim", "fast")
# Metrics that are the mean of a score of each image.
OF_IMAGES = """
    ssim ssim_valid ms_ssim mse psnr lpips pd_effnet lpips_vgg worse_with_more spectrum_kl top1 top5 arcface
    id_portraits id_dlib logit_change seed_variance seed_bias psnr_of_mean composition lec_frobenius composition_l1
""".split()


def every_benchmark() -> tuple[str, ...]:
    """The names of this package's benchmarks."""
    return tuple(REGISTRY.own)


def every_setting() -> dict[str, Any]:
    """Every setting of the benchmarks by "section.name", with its value in the profile `smoke`."""
    return PROFILES["smoke"].settings()


def types() -> dict[str, Any]:
    """The type of every setting."""
    sections = PROFILES["smoke"].sections.items()
    hints = {section: settings_of(type(sizes)).items() for section, sizes in sections}
    return {f"{section}.{name}": hint for section in hints for name, hint in hints[section]}


def caps() -> list[str]:
    """The settings that count images."""
    return [name for name, hint in types().items() if is_capped(hint)]


def all_images() -> dict[str, object]:
    """Settings by which all images are measured."""
    return dict.fromkeys(caps(), EVERY)


def solvers(task: str) -> set[str]:
    """The settings' solvers by which a benchmark takes steps, in `smoke`; "" is the system's own."""
    profile = PROFILES["smoke"].sections
    sections = [profile[name] for name in (task, *REGISTRY.get(task).shared) if name in profile]
    named = [(sizes, name) for sizes in sections for _, name, _ in steps_of(sizes)]
    return {getattr(sizes, name) if name else "" for sizes, name in named}


def several() -> dict[str, tuple[Any, ...]]:
    """The settings of several values, each with two of them, some in descending order."""
    lists = {name: value for name, value in every_setting().items() if isinstance(value, tuple)}
    return {
        name: value[:2] if len(value) > 1 else (*changed(name, value), *value)
        for name, value in lists.items()
    }


def changed(name: str, value: Any) -> Any:
    """Another value of a setting; of a list, with another first one."""
    hint = plain_type(types()[name])
    if isinstance(value, tuple):
        return (_other(value[0], get_args(hint)[0], value), *value[1:])
    return _other(value, hint, (value,))


def _other(value: Any, hint: Any, taken: tuple[Any, ...]) -> Any:
    """A number is changed by one, a level halved, a switch turned, a word one of the others."""
    if isinstance(value, str):
        words = [word for word in get_args(plain_type(hint)) or SOLVERS if word != value]
        return next((word for word in words if word not in taken), words[0])
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2
