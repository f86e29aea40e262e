"""The systems of a run, from their names and checkpoints."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import System
from benchmarks.systems.registry import load, slug
from diffae.system.errors import UserError, refuse_duplicates

TITLES = {"diffae": "DiffAE", "ddim": "DDIM"}
Missing = dict[str, SystemFailed | NotAvailable]  # by title: why a system could not be loaded


def load_systems(
    names: Sequence[str], checkpoints: Mapping[str, str], device: str
) -> tuple[list[System], Missing]:
    """Load the systems of a run, by --systems and --ckpt; also return, by title, why others of them could not be loaded.

    With any --ckpt, the packaged DDIM does not take the place of a missing checkpoint of `ddim`;
    nor does the packaged DiffAE if a checkpoint of `ddim` is given.
    """
    for key in checkpoints:
        if not {key, key.partition(":")[0]} & set(names):
            raise UserError(f"--ckpt {key}=...: not among --systems")
    # the packaged models that do not take the place of a checkpoint
    unpackaged = {"diffae": "ddim" in checkpoints, "ddim": bool(checkpoints)}
    missing: Missing = {}
    loaded: list[System] = []
    for name, path, title in _asked(names, checkpoints):
        if path is None and unpackaged.get(name):
            missing[TITLES[name]] = NotAvailable(f"no checkpoint was given: add --ckpt {name}=PATH")
            continue
        try:
            system = load(name, path, device)
        except (SystemFailed, NotAvailable) as reason:
            missing[title or name] = reason
            continue
        if title:
            system.title, system.name = title, slug(title)
        loaded.append(system)
    if not loaded:
        raise UserError("no system is left to run: " + "; ".join(map(str, missing.values())))
    titles = [*missing, *(system.title for system in loaded)]
    for kind in ([system.name for system in loaded], titles):
        refuse_duplicates(kind, "--ckpt", "system", "give one a different TITLE")
    return loaded, missing


def _asked(
    names: Sequence[str], checkpoints: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str]]:
    """Each system that is asked for: its name, its path, and a title of its own if it has one."""
    for name in names:
        if name in checkpoints or not any(key.startswith(f"{name}:") for key in checkpoints):
            # these take the size and shape of DiffAE's
            other = checkpoints.get("diffae") if name in ("pixels-pca", "random-encoder") else None
            yield name, checkpoints.get(name, other), ""
    for key, path in checkpoints.items():
        name, separator, title = key.partition(":")
        if separator and key not in names:
            yield name, path, title
