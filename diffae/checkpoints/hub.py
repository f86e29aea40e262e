"""Checkpoints on the Hugging Face Hub: hf://OWNER/NAME[@REVISION][/PATH], as its own library writes them.

PATH is a file or a folder there. What is needed is downloaded into the Hub's cache, once for each
commit. HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are those of the library. This module does
not need PyTorch.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from tqdm import tqdm

from diffae.system.cli import bar_is_seen
from diffae.system.errors import UserError, needed, reason
from diffae.system.files import REFUSALS

SCHEME = "hf:/"  # a `Path` drops the second slash
ADDRESS = re.compile(
    r"hf://?([\w.-]+/[\w.-]+)(?:@(refs/pr/\d+|[\w.-]+))?((?:/(?!\.)[\w.=+-]+)*)(#.*)?"
)
SNAPSHOT = re.compile(r"/models--[^/]+--([^/]+)/snapshots/[0-9a-f]{40}$")  # in the cache
# Files that are downloaded: texts, and weights in safetensors under the names that our readers look for, in
# the folder and in a pipeline's autoencoder. Any other file, such as a pickle, must be named as PATH.
TEXTS = ("*.json", "*.yaml", "*.md", "*.txt", "LICENSE*")
WEIGHTS = ("model.safetensors", "classifier.safetensors", "diffusion_pytorch_model*.safetensors")
PARTS = ("", "vae/", "vqvae/")

P = TypeVar("P", bound=str | Path | None)


def find(path: P) -> tuple[P | str, str]:
    """A checkpoint's path on this machine, and its address with the commit ("" if it is not on the Hub).

    It is downloaded if it is not in the cache. Options after a # are kept. Raises
    UserError, naming the address.
    """
    text = str(path)
    if not text.startswith(SCHEME):
        return path, ""
    if (match := ADDRESS.fullmatch(text)) is None:
        raise UserError(f"{text}: not an address of the Hub: hf://OWNER/NAME[@REVISION][/PATH]")
    name, revision, inside, options = match.groups("")
    snapshot = _download(text, name, revision or "main", inside[1:])
    place = snapshot / inside[1:]
    if not place.is_file() and not any(place.rglob("*.safetensors")):
        fault = f"no such file, and no folder with {WEIGHTS[0]} or {WEIGHTS[-1]}"
        raise UserError(f"{text}: {fault}; name any other file: hf://OWNER/NAME/FILE")
    return f"{place}{options}", f"hf://{name}@{snapshot.name}{inside}{options}"


def local(path: P) -> P | str:
    """A checkpoint's path on this machine, as in `find`."""
    return find(path)[0]


def title(folder: Path) -> str:
    """The name of a folder; of a commit in the Hub's cache, that of its repository."""
    match = SNAPSHOT.search(folder.absolute().as_posix())
    return match[1] if match else folder.absolute().name


def hint(path: str | Path) -> str:
    """Advice for a name that looks like one of the Hub and is no folder here; else ""."""
    is_name = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(path))
    return f"; a model on the Hub is hf://{path}" if is_name else ""


class _Bar(tqdm):  # type: ignore[type-arg]
    """The library's progress bar, shown under the same condition as ours."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{**options, "disable": not bar_is_seen()})


def _download(text: str, name: str, revision: str, inside: str) -> Path:
    """Download a model if necessary, and return its folder in the cache, which is named after the commit."""
    library = needed("huggingface_hub", text, "hub")
    errors = needed("huggingface_hub.errors", text, "hub")
    wanted = [f"{inside}/{part}{file}".lstrip("/") for part in PARTS for file in WEIGHTS]
    wanted += [*TEXTS, inside or WEIGHTS[0]]
    try:
        options = {"revision": revision, "allow_patterns": wanted, "tqdm_class": _Bar}
        return Path(library.snapshot_download(name, **options))
    except (OSError, errors.HFValidationError, errors.HTTPError) as error:
        if isinstance(error, OSError) and error.errno in REFUSALS:
            raise
        raise UserError(f"{text}: {_explanation(error, errors, revision)}") from None


def _explanation(error: BaseException, errors: ModuleType, revision: str) -> str:
    explanations = {
        errors.GatedRepoError: "gated: accept its terms on its page, and set HF_TOKEN to a token of yours",
        errors.RepositoryNotFoundError: "not on the Hub, or private: check the name; for a private one set "
        "HF_TOKEN to a token that may read it",
        errors.RevisionNotFoundError: f"has no revision {revision}: give a branch, a tag or a commit",
        errors.LocalEntryNotFoundError: "not in the cache, and the Hub cannot be reached "
        f"({reason(error.__cause__ or error):.200})",
    }
    texts = (text for kind, text in explanations.items() if isinstance(error, kind))
    return next(texts, f"{reason(error):.300}")
