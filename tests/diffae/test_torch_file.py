"""Malicious or damaged files of torch.save: no code runs, and one line says what is wrong."""

import io
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from official_files import Payload, tiny_state, write_lightning
from refusal import refused_file

from diffae import DiffusionAutoencoder
from diffae.checkpoints import torch_file
from diffae.checkpoints.official import read_classifier
from diffae.checkpoints.torch_file import Storage, TorchFile, _rebuild_tensor
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lightning(tmp_path_factory.mktemp("tiny") / "last.ckpt", tiny_state())


@pytest.fixture
def tiny(written: Path, tmp_path: Path) -> Path:
    """A file of the authors' layout that a test may damage."""
    return Path(shutil.copy(written, tmp_path))


def test_a_hostile_pickle_runs_nothing(tmp_path):
    """Also where a payload is the key of a dictionary, as Lightning's callback classes are."""
    tiny, payload = tmp_path / "last.ckpt", Payload(tmp_path / "it ran")
    more = {"callbacks": {payload: {"nested": [payload]}}, "hyper_parameters": {"x": payload}}
    DiffusionAutoencoder.from_pretrained(write_lightning(tiny, tiny_state(), **more))
    write_lightning(tiny, tiny_state() | {"x": payload})
    with pytest.raises(UserError, match="holds x, which is not a tensor"):
        DiffusionAutoencoder.from_pretrained(tiny)
    assert not payload.path.exists()


def test_the_payload_would_have_run(tmp_path):
    """The test above can fail: a loader that trusts the file does run it."""
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


@pytest.mark.parametrize("name", gadgets(Path("x")))
def test_no_opcode_runs_anything(tiny, name):
    proof = tiny.parent / "it ran"
    data = gadgets(proof)[name]
    rewrite(tiny, with_pickle(data))
    bare, legacy = tiny.parent / "bare.ckpt", tiny.parent / "legacy.ckpt"
    bare.write_bytes(data)  # and in a file that is no zip archive, as torch.save wrote them once
    preamble = io.BytesIO()
    torch.save({}, preamble, _use_new_zipfile_serialization=False)
    legacy.write_bytes(preamble.getvalue() + data)
    for path in (tiny, bare, legacy):
        for load in (DiffusionAutoencoder.from_pretrained, read_classifier):
            with pytest.raises(UserError, match=path.name):
                load(path)
    assert not proof.exists()
    assert torch_file._rebuild_tensor.__defaults__ is None


def rewrite(path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip archive again with the content of some entries, or their names, changed."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in change(entries).items():
            file.writestr(name, data)


def with_pickle(data: bytes):
    return lambda entries: {n: data if n.endswith("data.pkl") else d for n, d in entries.items()}


def halved(entries):
    """With half of every tensor."""
    return {n: d if n.endswith("data.pkl") else d[: len(d) // 2] for n, d in entries.items()}


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "not a zip archive"),
        (lambda p: p.write_bytes(b""), "not a zip archive"),
        (lambda p: p.write_bytes(b"not a checkpoint"), "not a zip archive"),
        (lambda p: rewrite(p, lambda e: {"readme": b""}), "not one that torch.save wrote"),
        (lambda p: rewrite(p, lambda e: {"../" + n: e[n] for n in e}), "not one that torch"),
        (lambda p: rewrite(p, with_pickle(b"\x80\x02garbage")), "its pickle does not load"),
        (lambda p: rewrite(p, with_pickle(b"")), r"its pickle does not load \(EOFError\)"),
        (lambda p: rewrite(p, with_pickle(pickle.dumps([1, 2]))), "it has no state_dict"),
        (lambda p: rewrite(p, with_pickle(b"r\xff\xff\xff\xff.")), "its pickle does not load"),
        (
            lambda p: rewrite(p, lambda e: {n: e[n] for n in e if "data/1" not in n}),
            "does not read",
        ),
        (lambda p: rewrite(p, halved), "an odd length"),
    ],
)
def test_a_damaged_file_is_one_line(tiny, damage, message):
    damage(tiny)
    assert re.search(message, refused_file(DiffusionAutoencoder.from_pretrained, tiny))


AMPLIFIED = {
    "memo": b"\x80\x02Nr\x00\x00\x00\x04.",  # LONG_BINPUT 2^26: C makes room for as many
    "bytes": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b".",  # BINBYTES8 of a terabyte
    "bytearray": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "text": b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b".",
    "number": b"\x80\x02\x8b\xff\xff\xff\x7f.",  # LONG4 of 2 GB
    "frame": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
    "stand-ins": b"\x80\x02" + b"cx\ny\n0" * 50_000 + b"N.",
}


@pytest.mark.parametrize("what", AMPLIFIED)
def test_a_small_pickle_takes_little_memory(tiny, what):
    rewrite(tiny, with_pickle(AMPLIFIED[what]))
    before = peak()
    with pytest.raises(UserError, match=r"last\.ckpt"):
        DiffusionAutoencoder.from_pretrained(tiny)
    assert peak() - before < 30e6


def peak() -> int:
    """The most memory that this process has had mapped or in use, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("VmPeak", "VmHWM"))) << 10


def test_a_pickle_larger_than_any_of_theirs_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(torch_file, "MOST_PICKLE", 1000)
    with pytest.raises(UserError, match=r"its pickle has .* bytes, too many"):
        DiffusionAutoencoder.from_pretrained(tiny)


def test_a_flipped_bit_in_the_weights_is_found(tiny):
    data = bytearray(tiny.read_bytes())
    wanted = tiny_state()["ema_model.encoder.out.3.weight"].numpy().tobytes()
    data[data.index(wanted)] ^= 1
    tiny.write_bytes(data)
    with pytest.raises(UserError, match="CRC"):
        DiffusionAutoencoder.from_pretrained(tiny)


def test_a_pickle_that_unpacks_is_refused(tiny):
    """torch.save compresses nothing, so no more is read than the file holds."""
    rewrite(tiny, lambda entries: entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"damaged: .*data\.pkl does not hold plain bytes"):
        DiffusionAutoencoder.from_pretrained(tiny)


@pytest.mark.parametrize(
    ("shape", "stride"), [((10**6, 10**6), (0, 0)), ((-1, 2), (2, 1)), ((2, 2), (1,))]
)
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, shape, stride):
    """`expand` makes terabytes of one number."""
    storage = Storage("0", torch.float32, 4)
    torch.save({"conds": torch.zeros(2, 2)}, tmp_path / "latent.pkl")
    with TorchFile(tmp_path / "latent.pkl") as file, pytest.raises((UserError, UnpicklingError)):
        file.read(_rebuild_tensor(storage, 0, shape, stride))
