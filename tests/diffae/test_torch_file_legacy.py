"""Files of torch.save from before PyTorch 1.6: we read them, and none of their code runs."""

import argparse
import io
from collections import OrderedDict

import pytest
import torch
from official_files import Payload

from diffae.checkpoints.torch_file import Arguments
from diffae.checkpoints.torch_file_legacy import LegacyTorchFile, is_legacy, open_torch_file
from diffae.system.errors import UserError


def save_old(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture
def tensors():
    whole = torch.randn(5, 7)
    return OrderedDict(
        whole=whole,
        turned=whole.T,
        part=whole[1:3, ::2],
        half=torch.randn(3).half(),
        count=torch.tensor(4),
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_reads_what_pytorch_wrote(tmp_path, tensors, in_memory):
    path = save_old({"state": tensors, "epoch": 560}, tmp_path / "old.pt")
    stream = io.BytesIO(path.read_bytes()) if in_memory else None
    with LegacyTorchFile(path, stream) as file:
        assert file.content["epoch"] == 560
        for name, tensor in tensors.items():
            found = file.read(file.content["state"][name])
            assert found.dtype == tensor.dtype and torch.equal(found, tensor), name


def test_old_and_new_are_told_apart(tmp_path, tensors):
    old, new = save_old(tensors, tmp_path / "old"), tmp_path / "new"
    torch.save(tensors, new)
    assert is_legacy(old) and not is_legacy(new)
    for path in (old, new):
        with open_torch_file(path) as file:
            assert torch.equal(file.read(file.content["part"]), tensors["part"])


@pytest.mark.parametrize("new", [False, True])
def test_the_attributes_of_a_namespace_are_kept(tmp_path, new):
    content = {"args": argparse.Namespace(dataset="ffhq", num_x_bits=5, use_se=True)}
    torch.save(content, tmp_path / "file", _use_new_zipfile_serialization=new)
    with open_torch_file(tmp_path / "file") as file:
        found = file.content["args"]
    assert isinstance(found, Arguments)
    assert found.values == {"dataset": "ffhq", "num_x_bits": 5, "use_se": True}


def test_a_payload_runs_nothing(tmp_path, tensors):
    path = save_old({"state": tensors, "x": Payload(tmp_path / "it ran")}, tmp_path / "old")
    with LegacyTorchFile(path) as file:
        assert torch.equal(file.read(file.content["state"]["whole"]), tensors["whole"])
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_one_line(tmp_path, tensors, kept):
    path = save_old({"state": tensors, "large": torch.zeros(1000)}, tmp_path / "old")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=r"old: (damaged|not a checkpoint)") as error:
        LegacyTorchFile(path)
    assert "\n" not in str(error.value)


def test_a_count_that_contradicts_the_tensor_is_refused(tmp_path):
    path = save_old({"x": torch.zeros(1000)}, tmp_path / "old")
    data = path.read_bytes()
    path.write_bytes(data[:-4008] + (999).to_bytes(8, "little") + data[-4000:])
    with pytest.raises(UserError, match="has 999 numbers"):
        LegacyTorchFile(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="absent: not readable"):
        is_legacy(tmp_path / "absent")
