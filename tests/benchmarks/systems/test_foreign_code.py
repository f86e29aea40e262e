"""The code of others: memory that it writes again, and what it changes of the process."""

import io
import os
import random
import sys
from collections import Counter
from operator import attrgetter

import in_process
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import evaluate, systems
from benchmarks.runtime import foreign
from benchmarks.runtime.foreign import code_of
from benchmarks.systems.protocol.returned import own_memory
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")
NUMBER = attrgetter("metric", "setting", "steps", "value", "note")


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch):
    """All tests are one package, so that what is left here would hold for the systems of the others."""
    monkeypatch.setattr(foreign, "_left", {})


class Small:
    """Keeps a pixel in sixteen."""

    image_size, title = 32, "Small"

    def encode(self, images):
        return self.given("code", F.avg_pool2d(images, 4))

    def decode(self, code):
        return self.given("images", F.interpolate(code, scale_factor=4))

    def given(self, name, value):
        return value


class Reuses(Small):
    """Returns the same memory in every call, as a CUDA graph does."""

    buffers = 1

    def __init__(self):
        self.memory, self.calls = {}, Counter()

    def given(self, name, value):
        self.calls[name] += 1
        place = name, self.calls[name] % self.buffers
        buffer = self.memory.setdefault(place, torch.zeros(64, *value.shape[1:]))[: len(value)]
        return buffer.copy_(value)


class Alternates(Reuses):
    buffers = 2


class OfNumpy(Reuses):
    """Every result is a tensor of its own over the same array."""

    def given(self, name, value):
        return torch.from_numpy(super().given(name, value).numpy())


class OfParts(Reuses):
    """Its code is two views of one buffer."""

    def encode(self, images):
        code = super().encode(images)
        return [code[:, :1], code[:, 1:]]

    def decode(self, code):
        return super().decode(torch.cat(code, 1))


def numbers(model, patches, **settings):
    tasks = ["reconstruction"]
    rows = evaluate(model, tasks, patches, "smoke", batch_size=5, progress=False, **settings).rows
    return [NUMBER(row) for row in rows]


@pytest.fixture(scope="module")
def expected(patches):
    return numbers(Small(), patches)


@pytest.mark.parametrize("kind", [Reuses, Alternates, OfNumpy])
def test_a_reused_output_buffer_changes_no_number(kind, patches, expected):
    assert numbers(kind(), patches) == expected


def test_results_stay_as_they_were_when_the_next_ones_are_computed():
    system = systems.as_system(OfParts())
    images = torch.rand(2, 4, 3, 32, 32) * 2 - 1
    codes = [system.encode(batch) for batch in images]
    for batch, code in zip(images, codes, strict=True):
        assert torch.equal(torch.cat(code.semantic, 1), F.avg_pool2d(batch, 4))
    decoded = [system.decode(code) for code in codes]
    assert torch.equal(decoded[0], F.interpolate(F.avg_pool2d(images[0], 4), scale_factor=4))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x[3:, 1:, ::2, 5].transpose(0, 2),
        lambda x: x[5:6].expand(4, -1, -1, -1),
        lambda x: x.flatten().unfold(0, 7, 3)[2:],
        lambda x: x[1, 2, 3, 4],
        lambda x: x[:0],
    ],
)
def test_a_copy_has_the_strides_and_the_alignment_of_the_original(view):
    memory = torch.randn(8, 3, 6, 10)
    part = view(memory)
    copied, before = own_memory(part), part.tolist()
    assert copied.stride() == part.stride() and (copied.data_ptr() - part.data_ptr()) % 64 == 0
    part.untyped_storage().fill_(0)
    assert copied.tolist() == before


# ----------------------------------------------------------------------------------------------
# The state of the process


def state():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        np.geterr(),
        sys.stdout,
        os.getcwd(),
    )


def meddle(folder):
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(3)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    np.seterr(all="raise")
    sys.stdout = io.StringIO()
    os.chdir(folder)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """What `meddle` changes is restored even if it is left so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    before = torch.get_num_threads()
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_num_threads(before)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")


class Meddles(Small):
    """Changes the process in its first call, and finds it so in the others."""

    def __init__(self, folder):
        self.folder, self.was_called = folder, False

    def encode(self, images):
        if not self.was_called:
            meddle(self.folder)
        self.was_called = True
        assert torch.get_default_dtype() is torch.float64 and torch.get_num_threads() == 3
        assert os.getcwd() == str(self.folder) and isinstance(sys.stdout, io.StringIO)
        np.random.seed(0)
        random.seed(0)
        return super().encode(images)


def test_what_a_model_changes_of_the_process_ends_with_its_calls(kept, tmp_path, patches, expected):
    (tmp_path / "elsewhere").mkdir()
    before, numpy_state, python_state = state(), np.random.get_state()[1], random.getstate()
    rows = numbers(Meddles(tmp_path / "elsewhere"), patches, out="run", cache=False)
    assert [row[:-1] for row in rows] == [row[:-1] for row in expected]
    assert state() == before
    assert (np.random.get_state()[1] == numpy_state).all() and random.getstate() == python_state
    assert (tmp_path / "run" / "records.csv").is_file()


def test_a_default_device_of_the_caller_changes_no_number(kept, patches, expected):
    torch.set_default_device("meta")
    assert numbers(Small(), patches) == expected
    assert torch.get_default_device().type == "meta"


def test_what_the_module_of_a_plug_in_changes_is_there_for_its_class_alone(
    kept, tmp_path, monkeypatch
):
    (tmp_path / "meddling.py").write_text("""
import os
import torch
from benchmarks.systems import System
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
os.chdir("/")
class Mine(System):
    capabilities, image_size, latent_dim, title = frozenset({"encode"}), 32, 4, "Mine"
    def __init__(self, path, device):
        self.fingerprint = f"{os.getcwd()} {torch.zeros(()).dtype}"
""")
    monkeypatch.syspath_prepend(tmp_path)
    before = state()
    system = systems.load("meddling:Mine")
    assert system.fingerprint.startswith("/ torch.float64-source-")
    assert state() == before


def test_standard_streams_that_were_closed_do_not_become_other_files(tmp_path, monkeypatch, capfd):
    saved = os.dup(1)
    monkeypatch.setattr(sys, "stdout", open(1, "w", closefd=False))
    monkeypatch.setattr(sys, "stderr", open(os.dup(2), "w"))
    try:
        with code_of("plug_in"):
            os.close(1)
            sys.stderr.close()
        other = os.open(tmp_path / "new", os.O_CREAT)
        print("lost", flush=True)
        print("seen", file=sys.stderr, flush=True)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    os.close(other)
    assert other > 2 and capfd.readouterr() == ("", "seen\n")


def test_a_file_of_ours_that_was_closed_is_one_line(tmp_path):
    def main(_):
        with open(tmp_path / "lock", "w") as lock:
            os.close(lock.fileno())

    ended = in_process.command(main, cache=tmp_path)
    line = (
        "error: an open file: Bad file descriptor; let no plug-in close it (os.close), then run the"
    )
    assert (ended.returncode, ended.stderr[: len(line)]) == (2, line)


@pytest.mark.parametrize("own", [(0, 1e-320), (0, 1e-38), (1e8, 1e8 + 1)])
def test_a_range_that_float32_cannot_bear_is_refused(own):
    with pytest.raises(UserError, match=r"range must be .*, not too close for float32, not \("):
        systems.wrap(Small(), range=own)
    systems.wrap(Small(), range=(1e-9, 2e-9))
