"""Files of torch.save, old and new: they are read, none of their code runs, and damage is one line."""

import argparse
import pickle
import re
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from official_files import Payload, tiny_state, write_lightning
from refusal import refused_file

from diffae import DiffusionAutoencoder
from diffae.checkpoints.torch_file import StandIn, in_memory, load
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lightning(tmp_path_factory.mktemp("tiny") / "last.ckpt", tiny_state())


@pytest.fixture
def tiny(written: Path, tmp_path: Path) -> Path:
    """A file of the authors' layout that a test may damage."""
    return Path(shutil.copy(written, tmp_path))


@pytest.mark.parametrize("zipped", [False, True])
def test_what_pytorch_wrote_is_read(tmp_path, zipped):
    whole = torch.randn(5, 7)
    tensors = OrderedDict(
        whole=whole,
        turned=whole.T,
        part=whole[1:3, ::2],
        half=torch.randn(3).half(),
        count=torch.tensor(4),
        learned=torch.nn.Parameter(torch.randn(2)),
    )
    settings = argparse.Namespace(dataset="ffhq", num_x_bits=5, use_se=True)
    payload = Payload(tmp_path / "it ran")
    content = {"state": tensors, "args": settings, "more": [payload], payload: torch.optim.Adam}
    torch.save(content, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    found = load(tmp_path / "file")
    assert isinstance(found["args"], StandIn) and found["args"].values == vars(settings)
    in_file = found["state"]
    for name, tensor in in_memory(in_file, tmp_path).items():
        assert tensor.dtype == tensors[name].dtype and torch.equal(tensor, tensors[name]), name
        assert not tensor.requires_grad and tensor.data_ptr() % 64 == 0
        assert tensor.untyped_storage().data_ptr() != in_file[name].untyped_storage().data_ptr()
    assert not payload.path.exists()


# ----------------------------------------------------------------------------------------------
# Nothing is run


def test_the_payload_would_have_run(tmp_path):
    """The test of reading can fail: a loader that trusts the file does run it."""
    payload = Payload(tmp_path / "it ran")
    torch.save({"x": payload}, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert payload.path.exists()


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def gadgets(proof: Path) -> dict[str, bytes]:
    """Pickles by hand, one for each way in which an opcode gets something called or changed."""
    command, write = text(f"touch {proof}"), text(f"open({str(proof)!r}, 'w')")
    popen = b"subprocess\nPopen\n" + text("touch") + text(str(proof)) + b"\x86\x85"
    update, defaults, system = map(text, ("update", "__defaults__", "system"))
    return {
        "REDUCE": b"\x80\x02cos\nsystem\n" + command + b"\x85R.",
        "REDUCE eval": b"\x80\x02cbuiltins\neval\n" + write + b"\x85R.",
        "INST": b"(" + command + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + command + b"o.",
        "NEWOBJ": b"\x80\x02c" + popen + b"\x81.",
        "NEWOBJ_EX": b"\x80\x04c" + popen + b"}\x92.",
        "STACK_GLOBAL": b"\x80\x04" + text("os") + system + b"\x93" + command + b"\x85R.",
        "a dotted name": b"\x80\x04%b\x93%b\x85R." % (text("torch") + text("os.system"), command),
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncos\n__dict__\n%b\x86R%b\x85R."
        % (system, command),
        "torch.load": b"\x80\x02ctorch.serialization\nload\n" + text(str(proof)) + b"\x85R.",
        "BUILD": b"\x80\x02ccollections\nOrderedDict\n)RN}" + update + b"cos\nsystem\ns\x86b.",
        "BUILD on a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}"
        + defaults
        + b"(K\x01K\x02ts\x86b.",
        "persistent id": b"\x80\x02(cos\nsystem\n" + command + b"tQ.",
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", gadgets(Path("x")))
def test_no_opcode_runs_anything(tiny, name):
    proof = tiny.parent / "it ran"
    data = gadgets(proof)[name]
    rewrite(tiny, with_pickle(data))
    bare, legacy = tiny.parent / "bare.ckpt", tiny.parent / "legacy.ckpt"
    bare.write_bytes(data)
    start = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    legacy.write_bytes(b"".join(pickle.dumps(part, 2) for part in start) + data + b"\x80\x02].")
    defaults = torch._utils._rebuild_tensor_v2.__defaults__
    for path in (tiny, bare, legacy):
        with pytest.raises(UserError, match=path.name):
            DiffusionAutoencoder.from_pretrained(path)
    assert not proof.exists()
    assert torch._utils._rebuild_tensor_v2.__defaults__ == defaults


# ----------------------------------------------------------------------------------------------
# Damage


def rewrite(path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip archive again with the content of some entries, or their names, changed."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in change(entries).items():
            file.writestr(name, data)


def with_pickle(data: bytes):
    return lambda entries: {n: data if n.endswith("data.pkl") else d for n, d in entries.items()}


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    wanted = tiny_state()["ema_model.encoder.out.3.weight"].numpy().tobytes()
    data[data.index(wanted)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "cut short"),
        (lambda p: p.write_bytes(b""), "cut short"),
        (lambda p: p.write_bytes(b"not a checkpoint"), "of another format"),
        (lambda p: rewrite(p, lambda e: {"readme": b""}), "of another format"),
        (lambda p: rewrite(p, with_pickle(b"\x80\x02garbage")), "Unsupported operand 103"),
        (lambda p: rewrite(p, with_pickle(b"")), "damaged"),
        (lambda p: rewrite(p, with_pickle(pickle.dumps([1, 2], 2))), "it has no state_dict"),
        (
            lambda p: rewrite(p, lambda e: {n: e[n] for n in e if "data/1" not in n}),
            "failed locating file data/1",
        ),
        (lambda p: rewrite(p, lambda e: e, zipfile.ZIP_DEFLATED), "a compressed archive"),
        (flip_a_bit, r"bad CRC-32 of .*data/\d+"),
    ],
)
def test_a_damaged_file_is_one_line(tiny, damage, message):
    damage(tiny)
    assert re.search(message, refused_file(DiffusionAutoencoder.from_pretrained, tiny))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_an_old_file_cut_short_is_one_line(tmp_path, kept):
    path = tmp_path / "old"
    torch.save({"x": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert "cut short" in refused_file(load, path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    """`expand` makes terabytes of one number."""
    torch.save({"conds": torch.zeros(()).expand(10**6, 10**6)}, tmp_path / "file")
    with pytest.raises(UserError, match="conds is larger than its storage"):
        in_memory(load(tmp_path / "file"), tmp_path)


@pytest.mark.parametrize("odd", [torch.eye(2).to_sparse(), torch.empty(2, device="meta"), 1.0])
def test_a_tensor_without_plain_numbers_is_refused(tmp_path, odd):
    torch.save({"conds": odd}, tmp_path / "file")
    with pytest.raises(UserError, match="holds conds, which is not a tensor"):
        in_memory(load(tmp_path / "file"), tmp_path)
