"""`doctor --gpu`: what only a GPU can settle, as a block of text to paste into an issue.

Each line is a verdict, what was checked, and its figure. Most checks hold the GPU to the CPU: the
packaged autoencoder on portraits in each precision, a batch that is refused memory, a step of
training. The others repeat work on the GPU, or time the networks of the paper.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.utils import collect_env

from benchmarks import systems
from benchmarks.core.runner.precision_guard import EXACT, TOLERANCES, deviations, in_words
from benchmarks.core.runner.provenance import describe
from benchmarks.metrics.counting import Work, flops, median_seconds, peak_memory
from benchmarks.metrics.frechet import Moments, frechet_distance
from benchmarks.runtime.calling import Batches, raised
from benchmarks.runtime.choices import AUTO, PRECISIONS
from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import of_networks, precision, refuse_what_cannot_be
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.protocol.checked import Checked
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.data.portraits import portrait, render
from diffae.diffusion import noise
from diffae.memory import is_refusal
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.errors import UserError, words
from diffae.train.chain import AUTOENCODER
from diffae.train.dry_run import plan
from diffae.train.images import Images
from diffae.train.presets import PRESETS
from diffae.train.stages import image_stages
from diffae.train.trainer import Training
from diffae.train.types import BFLOAT16, FLOAT16, FLOAT32, Stage, Steps

PASS, FAIL, SEEN, NOT_MEASURED = "pass", "fail", "seen", "not measured"  # verdicts
CPU = torch.device("cpu")
FLOAT32_SHARE = 0.01  # of the precision guard's tolerances
# Of a step's loss and norm, relative to the CPU's in float32; a training in float32 leaves PyTorch's TF32 in convolutions.
# On a CPU the norm deviates by up to 0.05 in bfloat16, and by 0.002 in float16.
STEP_TOLERANCES = {FLOAT32: 0.02, BFLOAT16: 0.15, FLOAT16: 0.02}
DISTANCE_TOLERANCE = 1e-9  # of a Frechet distance
ROOM = 0.7  # of the memory that a batch needs: enough for half of it, with the weights
LONG = 2.0  # seconds of a call, after which no larger batch is timed
ENCODE, DECODE_STEP, TRAINING_STEP = "encode", "decode step", "training step"
DETERMINISTIC = "deterministic algorithms"


@dataclass(frozen=True)
class Sizes:
    """
    ckpt      the autoencoder that is held to the CPU
    images    portraits that it is given
    steps     T of encoding and decoding
    crowd     images at once where memory is refused
    preset    whose autoencoder is timed
    batches   images at once in the timed calls
    features  numbers of each feature in a Frechet distance
    """

    ckpt: str = "portraits"
    images: int = 8
    steps: int = 10
    crowd: int = 512
    preset: str = "ffhq128"
    batches: tuple[int, ...] = (32, 64, 128, 256)
    features: int = 2048


Found = tuple[str, str]  # a verdict, and its figure in words
Check = Callable[[torch.device, Sizes], Found]
Results = dict[str, Tensor]


def examine(device: torch.device, sizes: Sizes = Sizes()) -> int:
    """Print the block. Returns the exit status, 1 if a check failed."""
    # cuBLAS reads it before its first product; PyTorch's deterministic algorithms need it
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    failed = False
    with torch.cuda.device(device):
        print("```", *_header(device), sep="\n", flush=True)
        for name, check in _checks(sizes):
            verdict, figure = _found(check, device, sizes)
            failed |= verdict == FAIL
            print(f"{verdict:12}  {name}: {figure}", flush=True)
        print("```")
    return int(failed)


def _header(device: torch.device) -> Iterator[str]:
    facts = describe([], device, None)
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30
    driver = collect_env.get_nvidia_driver_version(collect_env.run) or "not found"
    yield f"doctor --gpu: {facts['device']}, {memory:.1f} GiB, driver {driver}"
    cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    yield f"torch {torch.__version__}, {cuda}, Python {facts['python']}"
    changed = ", with changes" if facts["dirty"] else ""
    yield f"diffae-bench {facts['versions']['diffae-bench']}, commit {facts['commit']}{changed}"


def _checks(sizes: Sizes) -> Iterator[tuple[str, Check]]:
    for name in PRECISIONS:
        yield f"encode and decode, {name}", partial(_close_to_cpu, name)
    yield "out of memory", _recovers
    for name in STEP_TOLERANCES:
        yield f"train, {name}", partial(_step_like_cpu, name)
    yield "Frechet distance, float64", _same_distance
    yield "encode and decode twice", partial(_repeats, _coded, True, False)
    yield "train twice", partial(_repeats, _trained, False, False)
    yield f"train twice, {DETERMINISTIC}", partial(_repeats, _trained, True, True)
    for what in (ENCODE, DECODE_STEP, TRAINING_STEP):
        for name in PRECISIONS:
            yield f"{sizes.preset}, {what}, {name}", partial(_throughput, what, name, False)
    name = f"{sizes.preset}, {TRAINING_STEP}, {EXACT}, {DETERMINISTIC}"
    yield name, partial(_throughput, TRAINING_STEP, EXACT, True)


def _found(check: Check, device: torch.device, sizes: Sizes) -> Found:
    """The outcome of a check; an error of the GPU, which is a RuntimeError, is a failure."""
    try:
        return check(device, sizes)
    except (SystemFailed, RuntimeError) as error:
        return FAIL, raised(error)
    except UserError as error:
        return NOT_MEASURED, words(error)


def _verdict(passed: bool) -> str:
    return PASS if passed else FAIL


# ----------------------------------------------------------------------------------------------
# Codes and images


def _data(device: torch.device, sizes: Sizes) -> Images:
    """Portraits of the checkpoint's size."""
    size = open_checkpoint(sizes.ckpt).config.image_size
    pixels = [render(portrait(0, index), size) for index in range(sizes.images)]
    return Images(np.stack(pixels), False, str(device))


def _coded(device: torch.device, sizes: Sizes, name: str = EXACT) -> Results:
    """Codes of portraits and the images decoded from them, in precision `name`."""
    system = systems.load("diffae", sizes.ckpt, device)
    images = _data(device, sizes).batch(torch.arange(sizes.images))
    with precision(name):
        code = system.encode(images, sizes.steps)
        decoded = system.decode(code, sizes.steps)
    assert isinstance(code.semantic, Tensor) and code.x_T is not None
    return {"semantic": code.semantic, "x_T": code.x_T, "images": decoded}


_coded_by_cpu = cache(partial(_coded, CPU))


def _close_to_cpu(name: str, device: torch.device, sizes: Sizes) -> Found:
    """Whether codes and images in precision `name` are close to the CPU's in float32."""
    refuse_what_cannot_be(name, str(device))
    originals = _data(CPU, sizes).batch(torch.arange(sizes.images))
    found = deviations(_coded_by_cpu(sizes), _coded(device, sizes, name), originals)
    return _within(found, FLOAT32_SHARE if name == EXACT else 1.0)


def _within(found: Mapping[str, float], share: float) -> Found:
    """Whether deviations are within that share of the precision guard's tolerances."""
    passed = all(value <= share * TOLERANCES[what] for what, value in found.items())
    said = [in_words(what, value, share) for what, value in found.items()]
    return _verdict(passed), ", ".join(said)


def _recovers(device: torch.device, sizes: Sizes) -> Found:
    """Whether `--batch-size auto` decodes the same images where they do not fit into memory at once."""
    system = systems.load("diffae", sizes.ckpt, device)
    indices = range(sizes.crowd)
    z = noise.normal(0, "doctor", indices, (system.semantic_dim,))
    work = partial(system.decode, Code(z, system.random_x_T(indices, 0)), sizes.steps)
    whole = work().cpu()
    room = ROOM * peak_memory(work, device) * 2**20
    there = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()  # what is cached would not be asked for again
    torch.cuda.set_per_process_memory_fraction(room / there, device)
    assert isinstance(system, Checked)
    system.batches = batches = Batches.of(AUTO)
    try:
        parts = work().cpu()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    if not batches.found:
        return FAIL, f"{sizes.crowd} images at once fit into {room / 2**20:,.0f} MiB"
    apart = deviations({"samples": whole}, {"samples": parts}, whole)
    verdict, figure = _within(apart, FLOAT32_SHARE)
    return verdict, f"{sizes.crowd} images in parts of {batches.found['decode']}: {figure}"


# ----------------------------------------------------------------------------------------------
# Training


def _trained(device: torch.device, sizes: Sizes, steps: int = 2, name: str = FLOAT32) -> Results:
    """Loss, norm of the gradient and weights after `steps` of training, in precision `name`."""
    model = DiffusionAutoencoder.from_pretrained(sizes.ckpt, device).requires_grad_(True)
    preset = replace(PRESETS["portraits"], model=model.config, encoder=None, pixel_weight=0.0)
    (stage,) = image_stages(preset, model, _data(device, sizes))
    training, indices = _training(stage, sizes.images, name), torch.arange(sizes.images)
    losses = [training.advance(stage.loss, indices) for _ in range(steps)]
    weights = torch.cat([weight.detach().flatten() for weight in training.parameters])
    loss, norm = torch.tensor([losses[-1], training.norm]).double()
    return {"loss": loss, "norm": norm, "weights": weights}


def _training(stage: Stage, batch: int, name: str) -> Training:
    schedule = replace(stage.schedule, batch_size=batch)
    return Training(stage.network, schedule, 0, name, stage.adam, Steps(by_example=True))


_step_by_cpu = cache(partial(_trained, CPU, steps=1))


def _step_like_cpu(name: str, device: torch.device, sizes: Sizes) -> Found:
    """Whether a step's loss and norm are close to those of the CPU in float32, hence finite."""
    refuse_what_cannot_be(name, str(device))
    exact, own = _step_by_cpu(sizes), _trained(device, sizes, 1, name)
    most = STEP_TOLERANCES[name]
    close = all(abs(own[what] - exact[what]) <= most * exact[what] for what in ("loss", "norm"))
    said = [f"{what} {own[what]:.6g} (CPU: {exact[what]:.6g})" for what in ("loss", "norm")]
    return _verdict(close), f"{', '.join(said)}; tolerated: {100 * most:g} %"


# ----------------------------------------------------------------------------------------------
# Distances, and repetition


def _same_distance(device: torch.device, sizes: Sizes) -> Found:
    """Whether the Frechet distance of two sets of random features is the CPU's, in float64."""
    shape = (2, 2 * sizes.features, sizes.features)
    sets = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    exact, own = (
        frechet_distance(*(Moments.from_features(one.to(where)) for one in sets))
        for where in (CPU, device)
    )
    figure = f"{own:.13g} (CPU: {exact:.13g}); tolerated: {DISTANCE_TOLERANCE:g} of it"
    return _verdict(abs(own - exact) <= DISTANCE_TOLERANCE * exact), figure


def _repeats(
    work: Callable[[torch.device, Sizes], Results],
    promised: bool,
    deterministic: bool,
    device: torch.device,
    sizes: Sizes,
) -> Found:
    """Whether work gives the same bits twice; with PyTorch's `deterministic` algorithms or without.

    Where that is not `promised`, bits that differ are no failure.
    """
    with _computing(TRAINING_STEP, EXACT, deterministic):
        first, second = work(device, sizes), work(device, sizes)
    apart = {what: float((first[what] - second[what]).abs().max()) for what in first}
    said = [f"{what} {f'apart by {d:.1g}' if d else 'equal'}" for what, d in apart.items()]
    return _verdict(not any(apart.values())) if promised else SEEN, ", ".join(said)


# ----------------------------------------------------------------------------------------------
# Throughput


@cache
def _stage(preset: str, device: torch.device) -> Stage:
    """The stage that trains the autoencoder of a preset, with weights as at its start, on grey images."""
    return list(plan(PRESETS[preset], str(device), [AUTOENCODER]))[-1]


def _throughput(
    what: str, name: str, deterministic: bool, device: torch.device, sizes: Sizes
) -> Found:
    """Images and operations per second by the batch, until memory is refused or a call takes long."""
    refuse_what_cannot_be(name, str(device))
    said, operations = [], 0.0
    for batch in sizes.batches:
        try:
            with _computing(what, name, deterministic):
                work = _work(what, name, batch, device, sizes)
                operations = operations or flops(work) / batch
                seconds = median_seconds(work, 1, device)
        except RuntimeError as error:
            if not is_refusal(error):
                raise
            said.append(f"{batch}: memory refused")
            break
        rate = batch / seconds
        tera = cli.plain(operations * rate / 1e12, 2)
        said.append(f"{batch}: {cli.plain(rate, 3)} images/s, {tera} TFLOP/s")
        if seconds > LONG:
            said.append(f"no more, as that took {seconds:.1f} s")
            break
    return SEEN, "; ".join(said)


@contextmanager
def _computing(what: str, name: str, deterministic: bool) -> Iterator[None]:
    """Within the block networks compute in precision `name`; a training does bfloat16 by itself."""
    trains = what == TRAINING_STEP
    torch.use_deterministic_algorithms(deterministic)
    try:
        with precision(EXACT if trains and name == BFLOAT16 else name), of_networks():
            with torch.set_grad_enabled(trains):
                yield
    finally:
        torch.use_deterministic_algorithms(False)


def _work(what: str, name: str, batch: int, device: torch.device, sizes: Sizes) -> Work:
    """A call of a network, or a step of training, on `batch` images."""
    stage, config = _stage(sizes.preset, device), PRESETS[sizes.preset].model
    network = stage.network.train(what == TRAINING_STEP)
    if what == TRAINING_STEP:
        training = _training(stage, batch, BFLOAT16 if name == BFLOAT16 else FLOAT32)
        return partial(training.advance, stage.loss, torch.arange(batch) % 2)
    x = torch.randn(batch, 3, config.image_size, config.image_size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    if what == ENCODE:
        return partial(network.get_submodule("encoder"), x)
    t = torch.full((batch,), 500, device=device)
    z = torch.randn(batch, config.z_channels, device=device)
    return partial(network.get_submodule("unet"), x, t, z)
