"""--save-codes: the codes of a run in files, as `benchmarks.measure` takes them."""

import io
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from benchmarks.core.context import Context
from benchmarks.core.images import features_of
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.request import Options
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import SEMANTIC
from benchmarks.tasks.shared.probe_fits import Sizes
from diffae.data.partition import SPLITS
from diffae.system import cli, distributed
from diffae.system.files import OutputPath, file_name, refuse_outputs, writing
from diffae.system.whole import write_whole
from reports.tables.output import made_before, made_whole

FLAG = "--save-codes"
MADE_BY = f"benchmarks.run {FLAG}"


def refuse(options: Options, out: Path | None) -> None:
    """Raise UserError if the run folder or the folder of codes would overwrite something."""
    targets = [
        OutputPath("--out", out, Path.is_dir),
        OutputPath(FLAG, options.save_codes, Path.is_dir),
    ]
    refuse_outputs(targets, [options.data])
    if options.save_codes is not None:
        made_before(options.save_codes, MADE_BY, FLAG)


def save(target: Path, evaluation: Evaluation) -> None:
    """Write NAME.npz into the folder `target` for each system with a semantic code: what probes read of
    their training, validation and test images. All files or none are written.
    """
    context, main = evaluation.context.with_training_images(), distributed.is_main()
    of_probes = [context.select(s, getattr(context.sizes(Sizes), s)) for s in SPLITS]
    about = _about(context, [images.order for images in of_probes])
    whole = made_whole(target, MADE_BY, FLAG) if main else nullcontext()
    with writing(target, f"or choose another {FLAG}"), whole as folder:
        for system in evaluation.systems:
            if SEMANTIC not in system.capabilities:
                continue
            try:
                jobs = [context.codes.features(system, images) for images in of_probes]
                codes = [features_of(arrays).numpy() for arrays in context.store.read_all(jobs)]
            except (NotAvailable, SystemFailed) as reason:
                cli.say(f"no codes of {system.title} saved: {reason}")
                continue
            if folder is not None:
                np.savez(buffer := io.BytesIO(), codes=np.concatenate(codes), **about)  # type: ignore[arg-type]
                write_whole(folder / f"{file_name(system.name)}.npz", buffer.getvalue())


def _about(context: Context, orders: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the data set says of images: arrays by name; `orders` are those of train, valid and test."""
    dataset, order = context.dataset, np.concatenate(orders)
    arrays = {"split": np.repeat(list(SPLITS.values()), list(map(len, orders)))}
    arrays["files"] = np.array([dataset.name_of(index) for index in order])
    if dataset.identities is not None:
        arrays["persons"] = dataset.identities[order]
    if (labels := dataset.factors(order)).names:
        arrays |= {"labels": labels.values, "names": np.array(labels.names)}
        arrays["kinds"] = np.array(labels.kinds)
    return arrays
