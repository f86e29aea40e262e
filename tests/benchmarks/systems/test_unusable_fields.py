"""What a checkpoint names and cannot give is refused by every family, never replaced by a default."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d2c_files
import nvae_files
import official_files
import pytest
import stylegan2_imitations as imitations
import torch
import vq_files

from benchmarks import systems
from benchmarks.systems.stylegan2 import files as stylegan2_files
from diffae.checkpoints import trained_on
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.system.errors import UserError

STATE = imitations.state(w_dim=16)


def opened(name: str) -> Callable[[Path], object]:
    return lambda path: systems.load(name, path)


def rosinality(**more: Any) -> Callable[[Path], Path]:
    return lambda folder: imitations.write_rosinality(folder / "a.pt", STATE, **more)


def nvidia(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], Path]:
    """A pickle of stylegan2-ada-pytorch after `change` of the attributes of its modules by name."""

    def write(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            made = imitations._module

            def module(persistence, tensors, settings=None):
                found = made(persistence, tensors, settings)
                if settings is not None:
                    change(found.state)
                return found

            patch.setattr(imitations, "_module", module)
            return imitations.write_pytorch(folder / "a.pkl", STATE)

    return write


def mapping_of(state: dict[str, Any]) -> dict[str, Any]:
    return state["_modules"]["mapping"].state


def tensorflow(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], Path]:
    """A pickle of TensorFlow after `change` of the attributes of its last network."""

    def write(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            dumps = pickle.dumps

            def changed(networks, **named):
                state = networks[-1].__getstate__()
                change(state)
                networks[-1].__class__.__getstate__ = (
                    lambda self, own=networks[-1], f=(networks[-1].__class__.__getstate__): (
                        state if self is own else f(self)
                    )
                )
                return dumps(networks, **named)

            patch.setattr(pickle, "dumps", changed)
            return imitations.write_tensorflow(folder / "a.pkl", STATE)

    return write


def lacks_average(state: dict[str, Any], *instead: Any) -> None:
    state["variables"] = [p for p in state["variables"] if p[0] != "dlatent_avg"] + list(instead)


def nvae(folder: Path) -> Path:
    state = nvae_files.state("nvae_tiny64")
    content = nvae_files.checkpoint(state, nvae_files.tiny_arguments())
    torch.save(content | {"args": vars(content["args"])}, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def vqvae2(folder: Path) -> Path:
    return vq_files.vqvae2(folder / "vqvae_560.pt", **{"quantize_t.cluster_size": "none"})


def d2c(folder: Path) -> Path:
    parts = d2c_files.network(d2c_files.SMALL)
    parts["latent_mod"]["mean"] = [0.0]
    return d2c_files.write(folder / "model.ckpt", parts)


def vqgan(line: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = vq_files.vqgan(folder / "last.ckpt", vq_files.SMALL, vq_files.drawn(vq_files.SMALL))
        text = (folder / "model.yaml").read_text()
        (folder / "model.yaml").write_text(
            text.replace("      dropout: 0.0\n", f"      dropout: 0.0\n      {line}\n")
        )
        return path

    return write


def authors(x_T: Any) -> Callable[[Path], Path]:
    state = official_files.tiny_state() | {"x_T": x_T}
    return lambda folder: official_files.write_lightning(folder / "last.ckpt", state)


def note(**changed: Any) -> Callable[[Path], Path]:
    fields = {"preset": "a", "data": "b", "split": "train", "count": 1, "seed": 0} | changed

    def write(folder: Path) -> Path:
        (folder / trained_on.NOTE).write_text(json.dumps({"trained_on": fields}))
        return folder

    return write


STYLEGAN2 = stylegan2_files.read
CASES: dict[str, tuple[Callable[[Path], object], Callable[[Path], Path], str]] = {
    "rosinality: average": (STYLEGAN2, rosinality(latent_avg="0"), "latent_avg, which is not a te"),
    "nvidia: average": (
        STYLEGAN2,
        nvidia(lambda state: mapping_of(state)["_buffers"].update(w_avg="none")),
        "mapping.w_avg, which is not a tensor",
    ),
    "nvidia: buffers": (
        STYLEGAN2,
        nvidia(lambda state: mapping_of(state).update(_buffers=["w_avg"])),
        "damaged",
    ),
    "tensorflow: average": (
        STYLEGAN2,
        tensorflow(lambda state: lacks_average(state, ("dlatent_avg", "none"))),
        "(could not convert",
    ),
    "vqgan: another end": (opened("vqgan"), vqgan("give_pre_end: true"), "give_pre_end: True"),
    "vqgan: tanh": (opened("vqgan"), vqgan("tanh_out: true"), "tanh_out: True is not supported"),
    "vqvae2: a tensor": (opened("vqvae2"), vqvae2, "quantize_t.cluster_size, which is not a te"),
    "d2c: a tensor": (opened("d2c"), d2c, "latent_mod.mean, which is not a tensor"),
    "nvae: arguments": (opened("nvae"), nvae, "has no args"),
    "authors: a text": (open_checkpoint, authors("noise"), "x_T, which is not a tensor"),
    "authors: a row": (open_checkpoint, authors(torch.zeros(3)), r"x_T [3], not N x 3 x S x S"),
    "record: content": (trained_on.read, note(fingerprint=5), "not the record of a training"),
    "record: portraits": (trained_on.read, note(portraits=["1"]), "not the record of a training"),
    "pixels-pca: size": (opened("pixels-pca"), lambda folder: folder, "no such checkpoint"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_file_names_and_cannot_give_is_refused(tmp_path, case):
    read, write, words = CASES[case]
    with pytest.raises(UserError) as error:
        read(write(tmp_path))
    line = str(error.value)
    assert words in line and str(tmp_path) in line and "\n" not in line
