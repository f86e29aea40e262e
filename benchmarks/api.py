"""The harness from Python: measure models in a notebook, a script or a training loop.

    from benchmarks import evaluate
    results = evaluate(model, tasks=["reconstruction", "probes"], data="celeba/", profile="quick")
    results.frame()                              one row per number, with its error and its protocol

`evaluate_iter` gives the rows one by one, while they are measured. Nothing is written outside
`out`, the command line is not read, and errors are exceptions.
"""

import inspect
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, cast

import torch
from torch import nn

from benchmarks import systems
from benchmarks.commands.progress import ProgressBar
from benchmarks.core.profiles import Profile, find, for_run
from benchmarks.core.registry import chosen
from benchmarks.core.rows import Row
from benchmarks.core.runner import run_folder
from benchmarks.core.runner.evaluation import Evaluation, make_context
from benchmarks.core.runner.loop import measure
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.results import Results
from benchmarks.core.runner.setup import open_data
from benchmarks.core.sizes import LARGEST
from benchmarks.core.store import MemoryStore, Store, default_root
from benchmarks.metrics.protocols import schema
from benchmarks.runtime.choices import PRECISIONS, NetworkChoice
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.precision import precision, refuse_what_cannot_be
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from diffae.data.transforms import CROPS
from diffae.networks.nn import evaluating
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs
from diffae.system.validation import whole

LARGEST_SEED = 2**63 - 1

Model = object  # what can be measured, see `systems.as_system`
Models = Model | Sequence[Model] | Mapping[str, Model]


class Settings(TypedDict, total=False):
    """What else `evaluate` takes by keyword; its docstring says what each means."""

    settings: Mapping[str, object]
    limit: int | None
    steps: int | Sequence[int] | None
    solver: str | None
    seed: int
    attributes: str | Sequence[str]
    crop: str | None
    device: str | None
    precision: str
    batch_size: int | str | None
    features: str | Sequence[str]
    stand_ins: bool
    protocol: str | Sequence[str]
    explain: bool
    weights_dir: str | Path | None
    allow_unknown_weights: bool
    save_images: bool
    cache: bool | None
    progress: bool | None


# The defaults that are not None.
DEFAULTS = Settings(
    settings={},
    seed=0,
    attributes=(),
    precision="float32",
    features=(),
    stand_ins=False,
    protocol=(),
    explain=False,
    allow_unknown_weights=False,
    save_images=False,
)
F = TypeVar("F", bound=Callable[..., object])


def _spelled_out(function: F) -> F:
    """Give `function` a signature that `help` and editors can show: each keyword of `Settings` with
    its type and default.
    """
    found = inspect.signature(function)
    *own, _ = found.parameters.values()  # the last is `**settings`
    named = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS.get(name), annotation=kind
        )
        for name, kind in Settings.__annotations__.items()
    ]
    vars(function)["__signature__"] = found.replace(parameters=[*own, *named])
    return function


@_spelled_out
def evaluate(
    model: Models,
    tasks: str | Sequence[str] = "all",
    data: str | Path | Dataset | None = None,
    profile: str | Path | Profile = "quick",
    out: str | Path | None = None,
    **settings: Unpack[Settings],
) -> Results:
    """Measure a model, or several of them, and return their numbers.

        model       a registered name ("diffae"), "NAME=PATH", the path of a checkpoint, a `System`, a model of `diffae`, or
                    any object with `encode(images)`, `decode(code)` and `image_size` (see `systems.wrap`); a list of such,
                    or a dictionary whose keys are their titles in the tables
        tasks       benchmarks by name, or "all"
        data        a path as --data takes it, an open `Dataset` of `diffae.data`, or None for the portraits
        profile     the sizes of the work: "smoke", "quick", "standard", "paper", a TOML file or a `Profile`
        out         a run folder as the command makes it; without it nothing is written

    The rest is by keyword:

        settings    settings that differ from the profile, by name: {"reconstruction.images": 64}
        limit       the most of every count of images, pairs and samples
        steps       T of Tables 1, 2 and 4: a number or several
        solver      solver of all benchmarks that use one: "ddim", "fast", ... (`diffae-bench docs solvers`)
        seed        of the order of images, of noise and of labelled examples; from 0
        attributes  those that `identity` edits, by name; default: the paper's that the data has
        crop        how the images of `data` are cropped, where it is a path; default: the format's own
        device      "cpu", "cuda" or "cuda:N"; default: that of a model that is given, else a GPU where there is one
        precision   numeric precision of the systems' networks: "float32", "tf32" or "bfloat16"
        batch_size  images that a network is given at once, or "auto"; no number depends on it
        features    networks of all metrics on features, by name; default: FID's Inception, or its stand-in
        stand_ins   leave out all metric weights but those of packages: the same numbers on every machine
        protocol    protocols of other evaluation codes by which reconstructions are measured too, by name or file.toml
        explain     reconstructions by every protocol, and why the numbers differ
        weights_dir  a folder of the weights of metrics' networks, see `python -m benchmarks.run weights`
        allow_unknown_weights  use weights whose SHA-256 is not known
        save_images  keep the reconstructions of Table 1 and their inputs as PNG, in `out`
        cache       keep finished work in the store on disk, as the command does; default: where `out` is given
        progress    a bar on stderr where that is a terminal or a notebook's; default: in `evaluate`, not in `evaluate_iter`

    The mode of a model and its gradients are left unchanged.

    Raises UserError (of `diffae.system.errors`) where the command would end with status 2. A system
    that fails is a row with the reason, in `Results.failures`; the others are measured.
    """
    run = _prepare(model, tasks, data, profile, out, {"progress": True, **settings})
    return Results.of(run.evaluation, run.about, _rows(run))


@_spelled_out
def evaluate_iter(
    model: Models,
    tasks: str | Sequence[str] = "all",
    data: str | Path | Dataset | None = None,
    profile: str | Path | Profile = "quick",
    out: str | Path | None = None,
    **settings: Unpack[Settings],
) -> Iterator[Row]:
    """Yield the rows of `evaluate`, each as soon as it is known; the arguments are those of `evaluate`.

    Wrong arguments are raised at once. A model that is measured must not be trained between two
    rows: all rows are stored under its weights at the first.
    """
    return _rows(_prepare(model, tasks, data, profile, out, settings))


# ----------------------------------------------------------------------------------------------
# From arguments to a run


@dataclass(frozen=True)
class _Run:
    """A prepared call of `evaluate`; `about` has the settings that decide its numbers."""

    evaluation: Evaluation
    options: Options
    about: dict[str, Any]
    undisturbed: Callable[[], AbstractContextManager[None]]
    shows_progress: bool


def _prepare(
    model: Models,
    tasks: str | Sequence[str],
    data: str | Path | Dataset | None,
    profile: str | Path | Profile,
    out: str | Path | None,
    settings: Settings,
) -> _Run:
    for name in settings.keys() - Settings.__annotations__.keys():
        raise TypeError(
            f"evaluate: no argument {name!r}{cli.did_you_mean(name, Settings.__annotations__)}"
        )
    absent = dict.fromkeys(Settings.__annotations__)
    settings = cast(Settings, {**absent, **DEFAULTS, **settings})
    _refuse_odd(dict(settings))
    device = _device(model, settings["device"])
    options = _options(tasks, data, profile, out, settings, device)
    if settings["save_images"] and out is None:
        raise UserError("save_images: needs a run folder to keep them in; give out=")
    refuse_what_cannot_be(options.precision, options.device)
    if options.out is not None:
        refuse_outputs([Target("--out", options.out, Path.is_dir)], [options.data])
    with _undisturbed(options.precision, (), device):
        loaded = _systems(model, device)
        dataset = open_data(options, loaded, data if isinstance(data, Dataset) else None)
        on_disk = out is not None if settings["cache"] is None else settings["cache"]
        store = Store(default_root()) if on_disk else MemoryStore()
        store.make()
        evaluation = Evaluation(make_context(options, dataset, store), loaded)
        about = run_folder.settings(options, evaluation)
    modules: list[nn.Module] = []
    for system in loaded:
        with suppress(SystemFailed):  # the benchmark that asks for them says so
            modules += system.networks().values()
    return _Run(
        evaluation,
        options,
        about,
        lambda: _undisturbed(options.precision, modules, device),
        bool(settings["progress"]) and cli.bar_is_seen(),
    )


def _refuse_odd(settings: Mapping[str, object]) -> None:
    """Raise UserError for a switch that is not a bool, and for `settings` that are not a dictionary."""
    for name in ("cache", "allow_unknown_weights", "save_images", "explain", "progress"):
        if settings[name] is not DEFAULTS.get(name) and not isinstance(settings[name], bool):
            raise UserError(f"{name} {settings[name]!r}: must be True or False")
    if not isinstance(settings["settings"], Mapping):
        raise UserError(
            f'settings {settings["settings"]!r:.80}: must be a dictionary, such as {{"reconstruction.images": 64}}'
        )


def _options(
    tasks: str | Sequence[str],
    data: str | Path | Dataset | None,
    profile: str | Path | Profile,
    out: str | Path | None,
    settings: Settings,
    device: torch.device,
) -> Options:
    """Check the arguments and return them as the options of the command line."""
    benchmarks = chosen(map(str, _several(tasks)))
    if not benchmarks:
        raise UserError("tasks: no benchmark given")
    how, crop, limit = settings["precision"], settings["crop"], settings["limit"]
    if how not in PRECISIONS:
        raise UserError(f"precision {how!r}{cli.did_you_mean(str(how), PRECISIONS)}")
    if crop is not None and crop not in CROPS:
        raise UserError(f"crop {crop!r}{cli.did_you_mean(str(crop), CROPS)}")
    if crop is not None and isinstance(data, Dataset):
        raise UserError(
            f"crop {crop!r}: the data set was opened already, with crop {data.transform.crop}"
        )
    weights_dir = settings["weights_dir"]
    for name, path in {"data": data, "out": out, "weights_dir": weights_dir}.items():
        if isinstance(path, str) and not path:  # which would be the current folder
            raise UserError(f"{name}: is empty; give a path")
    if weights_dir is not None and not Path(weights_dir).is_dir():
        raise UserError(f"weights_dir {weights_dir}: no such folder")
    return Options(
        benchmarks=benchmarks,
        systems=(),
        checkpoints={},
        data=str(data.root) if isinstance(data, Dataset) else None if data is None else str(data),
        crop=crop,
        profile=for_run(
            profile if isinstance(profile, Profile) else find(str(profile)),
            benchmarks,
            None if settings["steps"] is None else _several(settings["steps"]),
            lambda found: found.changed_by(settings["settings"]),
            None if limit is None else whole(limit, "limit", 1, LARGEST),
            settings["solver"],
        ),
        attributes=_several(settings["attributes"]),
        seed=whole(settings["seed"], "seed", 0, LARGEST_SEED),
        device=str(device),
        networks=NetworkChoice(
            features=_several(settings["features"]),
            stand_ins=settings["stand_ins"],
            weights_dir=None if weights_dir is None else Path(weights_dir),
            allow_unknown=settings["allow_unknown_weights"],
        ),
        out=None if out is None else Path(out),
        precision=how,
        batch_size=settings["batch_size"],
        save_images=settings["save_images"],
        protocols=schema.asked(_several(settings["protocol"]), settings["explain"]),
        explain=settings["explain"],
    )


def _several(value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    one = isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if one else tuple(value)


# ----------------------------------------------------------------------------------------------
# Models


def _titled(model: Models) -> list[tuple[str | None, Model]]:
    """The models one by one, each with its title where it was given one."""
    if isinstance(model, Mapping):
        return [(str(title), one) for title, one in model.items()]
    return [(None, one) for one in (model if isinstance(model, list | tuple) else [model])]


def _systems(model: Models, device: torch.device) -> list[System]:
    """Load the models as systems, with distinct names and titles. Raises UserError if one cannot be
    loaded.
    """
    try:
        loaded = [systems.as_system(one, device, title) for title, one in _titled(model)]
    except NotAvailable as reason:
        raise UserError(f"model: {reason}") from None
    if not loaded:
        raise UserError("model: there is nothing to measure")
    for title, count in Counter(system.title for system in loaded).items():
        if count > 1:
            raise UserError(f"model: two are called {title!r}; give a dictionary, with titles")
    shared = {
        name for name, count in Counter(system.name for system in loaded).items() if count > 1
    }
    for number, system in enumerate(loaded):
        if system.name in shared:  # two checkpoints of one kind, which must not share files
            system.name = f"{systems.slug(system.title) or system.name}-{number}"
    return loaded


def _device(model: Models, asked: str | None) -> torch.device:
    """The device that was asked for, else that of a model that was given, else a GPU where there is
    one.

    Raises UserError for a device that this machine does not have.
    """
    if asked is not None:
        try:
            return torch.device(cli.device(str(asked)))
        except ArgumentTypeError as error:
            raise UserError(f"device: {error}") from None
    for _, one in _titled(model):
        for part in (one, *_fields(one)):
            if isinstance(part, nn.Module):
                for parameter in part.parameters():
                    return parameter.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _fields(one: object) -> list[object]:
    """The attributes of an object; none if it cannot be asked."""
    try:
        return list(vars(one).values())
    except Exception:
        return []


# ----------------------------------------------------------------------------------------------
# Leaving everything as it was


def _rows(run: _Run) -> Iterator[Row]:
    """Measure, and yield the rows. Between two of them the caller's random state, precision and
    modes are restored.
    """
    out = run.options.out
    lock = nullcontext() if out is None else run_folder.claim(out, run.about)
    with lock, ExitStack() as stack:
        with run.undisturbed():
            run.evaluation.context.store.sweep()
            folder: run_folder.RunFolder | None = None
            callback: ProgressBar | None = None
            if out is not None:
                run.evaluation.keep_pictures(*run_folder.folders(out, run.options))
                folder = run_folder.RunFolder(out, run.evaluation, run.about, run.options)
            if run.shows_progress:
                callback = ProgressBar(run.evaluation, run.options.benchmarks)
                stack.callback(callback.close)
        rows = measure(run.evaluation, run.options.benchmarks, folder, callback)
        stack.callback(rows.close)
        while True:
            with run.undisturbed():
                row = next(rows, None)
            if row is None:
                return
            yield row


@contextmanager
def _undisturbed(name: str, modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Within the block, networks are in evaluation mode and compute in precision `name`; the
    caller's random state is kept.
    """
    with ExitStack() as stack:
        stack.enter_context(precision(name))
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        for module in modules:
            stack.enter_context(evaluating(module))
        yield
