"""Files written by tests have the tensors of the real files."""

import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import d2c_files
import nvae_files
import official_files
import parity_files
import pytest
import torch
import vq_files

from benchmarks import systems
from diffae.checkpoints import torch_file


def kinds(names: Iterable[str]) -> set[str]:
    """Names without the numbers of their layers, of which a small network has fewer."""
    return {re.sub(r"\d+", "#", name) for name in names}


def test_the_authors_checkpoints(tmp_path):
    listed = (official_files.KEYS.parent / "checkpoint_toplevel.txt").read_text()
    _, *lines = re.split(r"\n\s*\n", listed.strip())[0].splitlines()
    state = official_files.tiny_state()
    found = torch_file.load(official_files.write_lightning(tmp_path / "last.ckpt", state))
    assert found.keys() == {line.split()[0] for line in lines}
    (optimizer,) = found["optimizer_states"]
    assert optimizer["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert {"x_T", "conds_mean", "conds_std"} < found["state_dict"].keys()
    rows = (official_files.KEYS / "celeba64d2c_autoenc_latent.txt").read_text().splitlines()
    names = [row.split("\t")[0] for row in rows if not row.startswith("#")]
    whole = {f"{copy}model.{name}" for copy in ("", "ema_") for name in names}
    missing = kinds(whole) - kinds(state)
    assert not {name for name in missing if not re.search(r"input_blocks|output_blocks", name)}
    assert all(
        not torch.equal(state[n], state[f"ema_{n}"]) for n in state if n.startswith("model.")
    )


def test_vq_gan(tmp_path):
    state = vq_files.drawn(vq_files.SMALL)
    found = torch_file.load(vq_files.vqgan(tmp_path / "last.ckpt", vq_files.SMALL, state))
    assert found.keys() == {
        "epoch", "global_step", "pytorch-lightning_version", "state_dict", "callbacks", "optimizer_states", "lr_schedulers",
    }  # fmt: skip
    names = [*parity_files.shapes("vqgan_f16_16384"), *parity_files.shapes("vqgan_loss_entries")]
    assert kinds(names) == kinds(found["state_dict"])
    assert len(found["optimizer_states"]) == 2


def test_vq_vae_2(tmp_path):
    path = vq_files.vqvae2(tmp_path / "vqvae_560.pt")
    assert not zipfile.is_zipfile(path)  # torch of early 2020
    whole = torch_file.load(path)
    assert list(whole) == list(parity_files.shapes("vqvae2"))
    assert not torch.equal(whole["quantize_t.embed"], whole["quantize_t.embed_avg"])


def test_d2c(tmp_path):
    found = torch_file.load(
        d2c_files.write(tmp_path / "model.ckpt", d2c_files.network(d2c_files.SMALL))
    )
    names = {f"{part}::{name}" for part, state in found.items() for name in state}
    listed = set(parity_files.shapes("d2c_ffhq256"))
    listed |= {name.replace("encoder_q", "encoder_k") for name in listed}
    assert not kinds(listed) - kinds(names)
    fc = {f"autoencoder::encoder_{e}.fc.#.{n}" for e in "qk" for n in ("weight", "bias")}
    assert kinds(names) - kinds(listed) == fc
    _of_one_tensor(found["autoencoder"])


def test_nvae(tmp_path):
    state = nvae_files.state("nvae_tiny64")
    path = nvae_files.write(tmp_path / "checkpoint.pt", state, nvae_files.tiny_arguments())
    found = torch_file.load(path)
    assert found.keys() == {
        "epoch", "state_dict", "optimizer", "global_step", "args", "arch_instance", "scheduler", "grad_scalar",
    }  # fmt: skip
    assert list(found["state_dict"]) == list(parity_files.shapes("nvae_tiny64"))
    _of_one_tensor(found["state_dict"])


def _of_one_tensor(state: dict[str, Any]) -> None:
    """A second name is of the same storage."""
    second = [n for n in state if n.endswith(".weight_normalized") and "encoder_k." not in n]
    assert second
    same = [(state[n], state[n.replace("_normalized", "")]) for n in second]
    assert all(one.data_ptr() == other.data_ptr() for one, other in same)


# ----------------------------------------------------------------------------------------------
# Of one of them whatever its tensors are made of


def write_vqvae2(path: Path, change: Callable) -> Path:
    return vq_files.vqvae2(path, **change(vq_files.state("vqvae2")))


def write_vqgan(path: Path, change: Callable) -> Path:
    return vq_files.vqgan(path, vq_files.SMALL, change(vq_files.drawn(vq_files.SMALL)))


def write_d2c(path: Path, change: Callable) -> Path:
    parts = d2c_files.network(d2c_files.SMALL)
    return d2c_files.write(path, {part: change(state) for part, state in parts.items()})


def write_nvae(path: Path, change: Callable) -> Path:
    state = nvae_files.state("nvae_tiny64")
    return nvae_files.write(path, change(state), nvae_files.tiny_arguments())


def rounded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: t.half().float() if t.is_floating_point() else t for n, t in state.items()}


def halved_and_transposed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of float16, and where it has two axes with the second one first in memory."""

    def odd(t: torch.Tensor) -> torch.Tensor:
        t = t.half() if t.is_floating_point() else t
        return t.transpose(0, 1).contiguous().transpose(0, 1) if t.ndim > 1 else t

    return {name: odd(tensor) for name, tensor in state.items()}


def in_one_storage(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All float tensors as pieces of one, as they come from a flattened optimiser."""
    pieces = {n: t for n, t in rounded(state).items() if t.is_floating_point()}
    whole = torch.cat([t.reshape(-1) for t in pieces.values()])
    parts = whole.split([t.numel() for t in pieces.values()])
    views = {n: part.view(t.shape) for (n, t), part in zip(pieces.items(), parts, strict=True)}
    return state | views


LONG = pytest.param("nvae", marks=pytest.mark.slow)  # of 1,306 tensors
WRITERS = {"vqvae2": write_vqvae2, "vqgan": write_vqgan, "d2c": write_d2c, "nvae": write_nvae}


@pytest.mark.parametrize("change", [halved_and_transposed, in_one_storage])
@pytest.mark.parametrize("name", ["vqvae2", "vqgan", "d2c", LONG])
def test_weights_are_the_same_however_they_are_kept(name, change, tmp_path):
    weights = []
    for kind in (rounded, change):
        (tmp_path / kind.__name__).mkdir()
        path = WRITERS[name](tmp_path / kind.__name__ / "last.ckpt", kind)
        system = systems.load(name, path)
        networks = system.networks().values()
        weights.append({n: t for network in networks for n, t in network.state_dict().items()})
    plain, odd = weights
    assert all(t.dtype == torch.float32 for t in odd.values() if t.is_floating_point())
    assert plain.keys() == odd.keys()
    assert all(torch.equal(t, odd[n]) for n, t in plain.items() if t.is_floating_point())
