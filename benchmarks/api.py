"""The harness from Python: measure models in a notebook, a script or a training loop.

    from benchmarks import evaluate
    results = evaluate(model, tasks=["reconstruction", "probes"], data="celeba/", profile="quick")
    results.frame()                              one row per number, with its error and its protocol

`evaluate_iter` gives the rows one by one, while they are measured. Nothing is written outside
`out`, the command line is not read, and errors are exceptions.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import MISSING
from functools import partial
from inspect import Parameter, Signature, signature
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from benchmarks.commands import saved_codes
from benchmarks.commands.progress import ProgressBar
from benchmarks.core.profiles import Profile
from benchmarks.core.runner import run_folder
from benchmarks.core.runner.evaluation import Evaluation, make_context
from benchmarks.core.runner.loop import Callback, measure
from benchmarks.core.runner.request import OPTIONS, Options, options_for
from benchmarks.core.runner.setup import open_data
from benchmarks.core.store import MemoryStore, Store, default_root
from benchmarks.results import Results
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.foreign import code_of
from benchmarks.runtime.precision import precision, refuse_what_cannot_be
from benchmarks.systems.from_object import as_system
from benchmarks.systems.of_run import Missing
from benchmarks.systems.protocol.base import System
from benchmarks.systems.protocol.contract import kind
from benchmarks.systems.registry import slug
from diffae.data import Dataset
from diffae.networks.nn import evaluating
from diffae.system import cli
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.settings import OptionField
from reports.records.record import Record
from reports.records.run_folder import Run

Model = object  # what can be measured, see `systems.as_system`
Models = Model | Sequence[Model] | Mapping[str, Model]
Measuring = AbstractContextManager[Iterator[Record]]
Undisturbed = Callable[[], AbstractContextManager[None]]

# The options that `evaluate` has as arguments, or not at all; the others are its keywords.
NO_KEYWORDS = ("data", "profile", "out", "verify_data", "fresh", "dry_run")
KEYWORDS = {name: option for name, option in OPTIONS.items() if name not in NO_KEYWORDS}
OWN = {
    "cache": "keep finished work in the store on disk, as the command does; default: where `out` is given",
    "progress": "a bar on stderr where that is a terminal or a notebook's; default: in `evaluate`, not in `evaluate_iter`",
}
NOTHING = "model: there is nothing to measure"
F = TypeVar("F", bound=Callable[..., object])


def _spelled_out(function: F) -> F:
    """Give `function` a signature and a docstring that list the keywords that it takes."""
    *own, _ = signature(function).parameters.values()  # the last is `**settings`
    helps = {name: option.metadata["arguments"]["help"] for name, option in KEYWORDS.items()}
    for name in helps | OWN:
        default = KEYWORDS[name].default if name in KEYWORDS else None
        default = None if name == "settings" or default is MISSING else default
        kind = Any if default is None else type(default)
        own.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind))
    vars(function)["__signature__"] = Signature(own)
    lines = [f"        {name:23} {text}" for name, text in (helps | OWN).items()]
    function.__doc__ = "\n".join([str(function.__doc__), "    Keywords:", "", *lines])
    return function


@_spelled_out
def evaluate(
    model: Models,
    tasks: str | Sequence[str] = "all",
    data: str | Path | Dataset | None = None,
    profile: str | Path | Profile | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Results:
    """Measure a model, or several of them, and return their numbers.

        model       a registered name ("diffae"), "NAME=PATH", the path of a checkpoint, a `System`, a model of `diffae`, or
                    any object with `encode(images)`, `image_size` and, unless only its code is to be measured, `decode(code)`
                    (see `systems.wrap`); a list of such, or a dictionary whose keys are their titles in the tables
        tasks       benchmarks by name, or "all", or a suite
        data        a path as --data takes it, an open `Dataset` of `diffae.data`, or None for the portraits
        profile     the sizes of the work: "smoke", "quick", "tokenizer", "standard", "paper", a TOML file or a `Profile`; None: those of
                    the suite, else "quick"
        out         a run folder as the command makes it; without it nothing is written

    The rest are the command's flags, by keyword: a value, a list of several, True for a switch, and
    a dictionary for `settings`, such as {"reconstruction.images": 64}. Without `device` it is that of
    a model that is given, else a GPU where there is one. `help(evaluate)` lists them.

    The mode of a model and its gradients are left unchanged.

    Raises UserError (of `diffae.system.errors`) for arguments that the command would refuse, such as
    the name of a model that does not exist, and if all models fail before anything is measured. A
    system that fails beside others is a row with the reason, in `Results.failures`; the others are
    measured.
    """
    given = {"tasks": tasks, "data": data, "profile": profile, "out": out, "progress": True}
    evaluation, run, measuring, undisturbed = _prepare(model, given | settings)
    with undisturbed(), measuring as records:
        for _ in records:
            pass  # the run has them
    return Results(run, evaluation.context)


@_spelled_out
def evaluate_iter(
    model: Models,
    tasks: str | Sequence[str] = "all",
    data: str | Path | Dataset | None = None,
    profile: str | Path | Profile | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Iterator[Record]:
    """Yield the rows of `evaluate`, each as soon as it is known; the arguments are those of `evaluate`.

    Wrong arguments are raised at once. A model that is measured must not be trained between two
    rows: all rows are stored under its weights at the first.
    """
    given = {"tasks": tasks, "data": data, "profile": profile, "out": out}
    *_, measuring, undisturbed = _prepare(model, given | settings)
    return _one_by_one(measuring, undisturbed)


# ----------------------------------------------------------------------------------------------
# From arguments to a run


def _prepare(
    model: Models, given: Mapping[str, Any]
) -> tuple[Evaluation, Run, Measuring, Undisturbed]:
    """The evaluation, its run without numbers, and two contexts: that which yields the records, which
    fill the run as they are measured, and that in which they are measured.
    """
    options = _options(model, given)
    device = torch.device(options.device)
    if options.save_images and options.out is None:
        raise UserError("save_images: needs a run folder to keep them in; give out=")
    refuse_what_cannot_be(options.precision, options.device)
    saved_codes.refuse(options, options.out)
    with _undisturbed(options.precision, (), device):
        loaded, missing = _systems(model, device)
        data, cache = given["data"], given.get("cache")
        dataset = open_data(options, loaded, data if isinstance(data, Dataset) else None)
        on_disk = options.out is not None if cache is None else cache
        store = Store(default_root()) if on_disk else MemoryStore()
        store.make()
        evaluation = Evaluation(make_context(options, dataset, store), loaded, missing)
        run = run_folder.new_run(options.out, evaluation, run_folder.settings(options, evaluation))
    if sizes := run.notes["comparison"]:
        cli.say(cli.printable(sizes["text"]))
    modules: list[nn.Module] = []
    for system in loaded:
        with suppress(SystemFailed):  # the benchmark that asks for them says so
            modules += system.networks().values()
    undisturbed = partial(_undisturbed, options.precision, modules, device)
    shows_progress = bool(given.get("progress")) and cli.bar_is_seen()
    return evaluation, run, _measuring(evaluation, options, run, shows_progress), undisturbed


def _options(model: Models, given: Mapping[str, Any]) -> Options:
    """The options of a run that the arguments of `evaluate` stand for."""
    parameters = [*signature(evaluate).parameters][1:]
    for name in given.keys() - {*parameters}:
        raise TypeError(f"evaluate: no argument {name!r}{cli.did_you_mean(name, parameters)}")
    for name in OWN:
        if given.get(name) not in (None, True, False):
            raise UserError(f"{name} {given[name]!r}: must be True or False")
    data = given["data"]
    if given.get("crop") is not None and isinstance(data, Dataset):
        raise UserError(
            f"crop {given['crop']!r}: the data set was opened already, with crop {data.transform.crop}"
        )
    values: dict[str, object] = {}
    for name, option in OPTIONS.items():
        value = given.get(name)
        is_empty = option.default == () and value in ([], (), {})
        if value is not None and not is_empty:
            values[name] = _value(option, value)
    if "device" not in values and (device := _device_of(model)):
        values["device"] = device
    tasks = [task for task in _text("tasks", given["tasks"]).split(",") if task]
    if not tasks:
        raise UserError("tasks: no benchmark given")
    return options_for(tasks, values)


def _value(option: OptionField, value: object) -> object:
    """The value of an option that was given to `evaluate`. Raises UserError naming the option."""
    name, arguments = option.name, option.metadata["arguments"]
    if name == "settings":
        return _settings(value)
    if isinstance(value, Profile):
        return value
    if arguments.get("action") == "store_true":
        if not isinstance(value, bool):
            raise UserError(f"{name}: must be True or False, not {value!r}")
        return value
    text = _text(name, value.root if isinstance(value, Dataset) else value)
    choices = arguments.get("choices")
    if choices is not None and text not in choices:
        raise UserError(f"{name}: no choice {text!r}{cli.did_you_mean(text, choices)}")
    try:
        return arguments.get("type", str)(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{name}: {error}") from None


def _settings(changes: object) -> list[tuple[str, str]]:
    """The changed settings of a profile, each as a text. Raises UserError."""
    if not isinstance(changes, Mapping):
        example = '{"reconstruction.images": 64}'
        raise UserError(f"settings {changes!r:.80}: must be a dictionary, such as {example}")
    return [(setting, _text("settings", value)) for setting, value in changes.items()]


def _text(name: str, value: object) -> str:
    """A value, or several with commas between them, as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path | Real):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return ",".join(_text(name, part) for part in value)
    raise UserError(f"{name}: must be a text, a number or a list of them, not {value!r:.80}")


# ----------------------------------------------------------------------------------------------
# Models


def _titled(model: Models) -> list[tuple[str | None, Model]]:
    """The models one by one, each with its title where it was given one."""
    if isinstance(model, Mapping):
        return [(str(title), value) for title, value in model.items()]
    return [(None, value) for value in (model if isinstance(model, list | tuple) else [model])]


def _systems(model: Models, device: torch.device) -> tuple[list[System], Missing]:
    """Load the models as systems, with distinct names and titles; also return, by title, why others
    of them failed. Raises UserError if there is no such model, or if none is left.
    """
    loaded: list[System] = []
    failed: list[tuple[str, SystemFailed | NotAvailable]] = []
    for title, candidate in _titled(model):
        try:
            loaded.append(as_system(candidate, device, title))
        except (SystemFailed, NotAvailable) as reason:
            name = str(candidate) if isinstance(candidate, str | Path) else kind(candidate)
            failed.append((title or name, reason))
    if not loaded:
        raise UserError("; ".join(str(reason) for _, reason in failed) or NOTHING)
    titles = [*(title for title, _ in failed), *(system.title for system in loaded)]
    refuse_duplicates(titles, "model", "title", "give a dictionary, with titles")
    names = Counter(system.name for system in loaded)
    for number, system in enumerate(loaded):
        if names[system.name] > 1:  # two checkpoints of one kind, which must not share files
            system.name = f"{slug(system.title) or system.name}-{number}"
            while system.name in names:
                system.name += f"-{number}"
    return loaded, dict(failed)


def _device_of(model: Models) -> str | None:
    """The device of a model that was given; None for one that lies nowhere yet."""
    for _, candidate in _titled(model):
        for part in (candidate, *_attributes(candidate)):
            if isinstance(part, nn.Module):
                for parameter in part.parameters():
                    return str(parameter.device)
    return None


def _attributes(model: Model) -> list[object]:
    """The attributes of an object; none if it cannot be asked."""
    try:
        return list(vars(model).values())
    except Exception:
        return []


# ----------------------------------------------------------------------------------------------
# Leaving everything as it was


@contextmanager
def _measuring(
    evaluation: Evaluation, options: Options, run: Run, shows_progress: bool
) -> Iterator[Iterator[Record]]:
    """Within the block the records are measured one by one; then what is saved of all is written."""
    with ExitStack() as stack:
        recording = run_folder.recording(run, evaluation, options, in_memory=options.out is None)
        recorder, callback = stack.enter_context(recording), Callback()
        if shows_progress:
            callback = stack.enter_context(closing(ProgressBar(evaluation, options.benchmarks)))
        records = measure(evaluation, options.benchmarks, recorder, callback)
        yield stack.enter_context(closing(records))
        if options.save_codes is not None:
            saved_codes.save(options.save_codes, evaluation)


def _one_by_one(measuring: Measuring, undisturbed: Undisturbed) -> Iterator[Record]:
    """Yield the records. Between two of them the caller's random state, precision and modes are restored."""
    with ExitStack() as stack:
        with undisturbed():
            records = stack.enter_context(measuring)
        while True:
            with undisturbed():
                record = next(records, None)
                if record is None:
                    stack.close()
                    return
            yield record


@contextmanager
def _undisturbed(name: str, modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Within the block, networks are in evaluation mode and compute in precision `name`; the
    caller's random state is kept, as are the default dtype, the working directory and the like.
    """
    with ExitStack() as stack:
        stack.enter_context(code_of(""))
        torch.set_default_device(None)  # the caller's is for the caller's tensors
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(random.setstate, random.getstate())
        stack.enter_context(precision(name))
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        for module in modules:
            stack.enter_context(evaluating(module))
        yield
