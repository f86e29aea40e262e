"""The three kinds of files of StyleGAN2: the same generator from each, and safe refusals."""

import io
import pickle
import tracemalloc
from argparse import Namespace
from functools import partial

import numpy as np
import pytest
import stylegan2_imitations as imitations
import torch
from official_files import Payload
from parity_files import shapes
from refusal import refused_file

from benchmarks import systems
from benchmarks.systems.shared import containers
from benchmarks.systems.stylegan2 import files as stylegan2_files
from benchmarks.systems.stylegan2 import inversion
from benchmarks.systems.stylegan2 import names as stylegan2_names
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.system.errors import UserError

WRITERS = {
    "rosinality": imitations.write_rosinality,
    "pytorch": imitations.write_pytorch,
    "tensorflow": imitations.write_tensorflow,
}


@pytest.fixture(scope="module")
def state():
    return imitations.state(w_dim=16)


@pytest.mark.parametrize("kind", WRITERS)
def test_each_file_gives_the_same_generator_bit_for_bit(tmp_path, state, kind):
    found = stylegan2_files.read(WRITERS[kind](tmp_path / "file", state))
    assert found.config.channels == (64, 64, 32, 16)
    loaded = found.state
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        # the TensorFlow code adds the 1 of a style's bias itself
        rounding = 1e-6 if kind == "tensorflow" and name.endswith("affine.bias") else 0
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=rounding)


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("kind", ["pytorch", "tensorflow"])
def test_pickles_of_every_protocol_are_read(tmp_path, state, kind, protocol):
    path = WRITERS[kind](tmp_path / "file", state, protocol=protocol)
    loaded = stylegan2_files.read(path).state
    torch.testing.assert_close(loaded["mapping.fc3.weight"], state["mapping.fc3.weight"])


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ("rosinality", "ffhq256_paper256"),
        ("rosinality", "ffhq1024"),
        ("tensorflow", "ffhq256_paper256"),
        ("tensorflow", "ffhq1024"),
    ],
)
def test_names_are_those_of_the_lists_and_changed_they_have_the_network_s_shapes(names, keys):
    suffix = "tf" if names == "tensorflow" else names
    ours = {k: s for k, s in shapes(f"stylegan2_{keys}").items() if not k.endswith("_filter")}
    theirs = shapes(f"stylegan2_{keys}_{suffix}")
    found = {name: getattr(stylegan2_names, names)(name) for name in ours}
    beside = {"latent_avg": (512,)} if names == "rosinality" else {}
    kept = {k: s for k, s in theirs.items() if not k.endswith(".kernel")} | beside
    assert {it.name for it in found.values()} == kept.keys()
    for name, it in found.items():
        assert it.change(torch.empty(kept[it.name], device="meta")).shape == ours[name]


@pytest.mark.parametrize(
    ("keys", "channels"),
    [
        ("tiny32", (32, 512, 64)),
        ("ffhq256_paper256", (256, 16384, 512)),
        ("ffhq256_cb32768", (256, 32768, 512)),
        ("ffhq1024", (1024, 32768, 512)),
    ],
)
def test_the_network_has_the_tensors_of_the_lists(keys, channels):
    with torch.device("meta"):
        found = Generator(StyleGAN2Config(imitations.channels_of(*channels))).state_dict()
    listed = {k: s for k, s in shapes(f"stylegan2_{keys}").items() if not k.endswith("_filter")}
    assert {k: tuple(v.shape) for k, v in found.items()} == listed


# ----------------------------------------------------------------------------------------------
# What a file lacks


def test_a_file_without_noise_gets_the_same_maps_in_every_run(tmp_path, state):
    without = {k: v for k, v in state.items() if not k.endswith("noise_const")}
    found = stylegan2_files.read(imitations.write_rosinality(tmp_path / "a.pt", without))
    again = stylegan2_files.read(tmp_path / "a.pt")
    maps, twin = (
        [tensor for name, tensor in f.state.items() if name.endswith("noise_const")]
        for f in (found, again)
    )
    assert found.noise_maps == "seed 0"
    assert [m.shape[0] for m in maps] == [4, 8, 8, 16, 16, 32, 32]
    assert all(torch.equal(a, b) for a, b in zip(maps, twin, strict=True))
    assert not torch.equal(maps[1], maps[2]) and 0.9 < maps[-1].std() < 1.1


def test_one_noise_map_that_is_missing_is_named(tmp_path, state):
    without = {k: v for k, v in state.items() if k != "synthesis.b16.conv0.noise_const"}
    path = imitations.write_rosinality(tmp_path / "a.pt", without)
    with pytest.raises(UserError, match=r"missing.*noises\.noise_3"):
        stylegan2_files.read(path)


def test_the_average_of_a_trained_file_is_estimated(tmp_path, state, monkeypatch):
    monkeypatch.setattr(inversion, "SAMPLES", 500)
    args = Namespace(size=32, arch="stylegan2", latent=512)
    path = imitations.write_rosinality(
        tmp_path / "a.pt", state, average=False, args=args, d_optim={}
    )
    system = systems.load("stylegan2-w", f"{path}#distance=mse")
    mapping = system.networks()["mapping"]
    expected = inversion.statistics(mapping).average
    assert system.describe()["w_avg"] == "mean of 10,000"
    torch.testing.assert_close(mapping.w_avg, expected)
    assert expected.abs().max() > 0.1


# ----------------------------------------------------------------------------------------------
# Refusals: one line with the path


refusal = partial(refused_file, stylegan2_files.read)


THEIR_NAMES = {
    "rosinality": ("convs.3.conv.weight", "style.4.bias"),
    "pytorch": ("synthesis.b16.conv1.weight", "mapping.fc3.bias"),
    "tensorflow": ("synthesis/16x16/Conv1/weight", "mapping/Dense3/bias"),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("fault", ["missing", "of a different shape", "not finite"])
def test_a_tensor_that_cannot_be_is_named_as_the_file_names_it(tmp_path, state, kind, which, fault):
    name = THEIR_NAMES["pytorch"][which]
    changed = dict(state)
    if fault == "missing":
        del changed[name]
    elif fault == "not finite":
        changed[name] = torch.full_like(state[name], torch.nan)
    else:
        changed[name] = torch.cat([state[name], state[name]])
    text = refusal(WRITERS[kind](tmp_path / "file", changed))
    assert f"{fault}: {THEIR_NAMES[kind][which]}" in text and text.count(":") <= 2


@pytest.mark.parametrize("kind", WRITERS)
def test_a_tensor_that_is_left_over_is_named(tmp_path, state, kind):
    extra = {"synthesis.b32.conv1.affine.more": torch.zeros(2)}
    text = refusal(WRITERS[kind](tmp_path / "file", state | extra))
    assert "not part of the model" in text and "more" in text


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_short_is_refused(tmp_path, state, kind):
    path = WRITERS[kind](tmp_path / "file", state)
    content = path.read_bytes()
    for share in (0.2, 0.7, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        assert "damaged" in (text := refusal(path)) or "cut short" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"c_dim": 10}, "its c_dim is 10"),
        ({"img_channels": 1}, "its img_channels is 1"),
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "its architecture is 'resnet', not 's"),
        ({"synthesis_kwargs": {"resample_filter": [1, 1]}}, "resample_filter"),
        ({"mapping_kwargs": {"activation": "relu"}}, "its activation is 'relu'"),
    ],
)
def test_another_architecture_is_refused_by_name(tmp_path, state, settings, words):
    path = imitations.write_pytorch(tmp_path / "a.pkl", state, imitations.TINY | settings)
    assert words in refusal(path)


def test_a_conditional_file_of_tensorflow_is_refused(tmp_path, state):
    path = imitations.write_tensorflow(tmp_path / "a.pkl", state, {"label_size": 10})
    assert "its label_size is 10" in refusal(path)


def test_an_alias_free_generator_is_named(tmp_path, state):
    alias_free = {f"synthesis.L0_36_512.{k}": torch.zeros(3) for k in ("weight", "bias")}
    path = imitations.write_pytorch(tmp_path / "a.pkl", alias_free)
    assert "not a StyleGAN2 generator: it holds synthesis.L0_36_512.bias" in refusal(path)


def test_another_arch_of_rosinality_is_refused(tmp_path, state):
    args = Namespace(size=32, arch="swagan")
    path = imitations.write_rosinality(tmp_path / "a.pt", state, args=args)
    assert "its arch is 'swagan'" in refusal(path)


def test_files_of_others_are_named_as_what_they_look_like(tmp_path, state):
    path = tmp_path / "other.pt"
    torch.save({"quantize_t.embed": torch.zeros(2)}, path)
    assert "it looks like a VQ-VAE-2" in refusal(path)
    path.write_bytes(pickle.dumps({"G": 1, "dnnlib": 2}))
    assert "neither with G_ema nor of (G, D, Gs)" in refusal(path)
    path.write_bytes(b"nothing of the kind")
    assert "of another format" in refusal(path)
    path.write_bytes(b"")
    refusal(path)
    assert "a folder, not a file" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent")


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("kind", ["pytorch", "tensorflow"])
def test_other_systems_say_that_it_is_a_stylegan(tmp_path, state, kind, protocol):
    path = WRITERS[kind](tmp_path / "file", state, protocol=protocol)
    with pytest.raises(UserError, match=r"looks like a StyleGAN of NVIDIA's.*stylegan2-w"):
        containers.read(path)


# ----------------------------------------------------------------------------------------------
# Nothing is run


def test_a_payload_in_a_pickle_is_not_run(tmp_path, state):
    trap = tmp_path / "trap"
    path = imitations.write_pytorch(tmp_path / "a.pkl", state, D=Payload(trap))
    found = stylegan2_files.read(path)
    torch.testing.assert_close(found.state["synthesis.b4.const"], state["synthesis.b4.const"])
    path.write_bytes(pickle.dumps({"G_ema": Payload(trap), "dnnlib": 2}))
    refusal(path)
    path.write_bytes(pickle.dumps(("dnnlib", Payload(trap), Payload(trap))))
    refusal(path)
    torch.save({"g_ema": {"x": Payload(trap)}}, path)
    assert "not a tensor" in refusal(path)
    assert not trap.exists()


def test_a_payload_in_a_tensor_s_own_file_is_not_run(tmp_path, state, monkeypatch):
    trap = tmp_path / "trap"
    torch.save(Payload(trap), nested := io.BytesIO(), _use_new_zipfile_serialization=False)
    reduced = torch.storage._load_from_bytes, (nested.getvalue(),)
    monkeypatch.setattr(torch.storage.TypedStorage, "__reduce__", lambda _: reduced)
    path = imitations.write_pytorch(tmp_path / "a.pkl", state)
    assert "Unsupported global" in refusal(path)
    assert not trap.exists()


def test_arrays_of_objects_are_refused(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"dnnlib": np.array([{}, {}], dtype=object)}))
    assert "other things than numbers" in refusal(path)


@pytest.mark.parametrize(
    "claim",
    [
        pickle.NONE + pickle.LONG_BINPUT + (1 << 26).to_bytes(4, "little"),
        pickle.BYTEARRAY8 + (1 << 30).to_bytes(8, "little"),
    ],
)
def test_a_file_that_claims_to_be_huge_takes_no_memory(tmp_path, claim):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.PROTO + b"\x05" + pickle.dumps("dnnlib")[2:-1] + claim + b".")
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_a_setting_that_contains_itself_many_times_over_is_told_briefly(tmp_path, state):
    """Forty lists, each the one before twice: written out it would be a trillion of them."""
    nested: list[object] = []
    for _ in range(40):
        nested = [nested, nested]
    settings = {"synthesis_kwargs": {"architecture": nested}}
    path = imitations.write_pytorch(tmp_path / "a.pkl", state, settings)
    message = refusal(path).removeprefix(str(path))
    assert "its architecture is [[[[...], " in message and len(message) < 150
