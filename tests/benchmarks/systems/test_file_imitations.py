"""Files written by tests have the tensors of the real files."""

import re
import zipfile
from collections.abc import Iterable
from typing import Any

import d2c_files
import nvae_files
import official_files
import parity_files
import torch
import vq_files

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
