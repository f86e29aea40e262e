"""DINOv2 and CLIP against transformers, in every kind of file, with random weights one block deep."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import reference_metrics
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data
from torch.nn import functional
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from transformer_files import (
    CLIP,
    DINOV2,
    clip_config,
    dinov2_of,
    file_of,
    randomised,
    write_clip,
    write_dinov2,
)
from transformers import CLIPVisionModelWithProjection, Dinov2Model

from benchmarks import weights
from benchmarks.measure import main
from benchmarks.metrics.networks import vision_transformers
from benchmarks.metrics.networks.chosen import FEATURES
from benchmarks.metrics.networks.vision_transformers import (
    CLIP_VITL14_336,
    DINOV2_VITB14,
    DINOV2_VITL14,
    Architecture,
)
from diffae.system.errors import UserError

CPU = torch.device("cpu")
dinov2 = partial(vision_transformers.load, DINOV2)
clip = partial(vision_transformers.load, CLIP)


@pytest.fixture(scope="module")
def dinov2_files(tmp_path_factory) -> tuple[Dinov2Model, Path]:
    """The network of transformers, and a folder with its weights."""
    folder = tmp_path_factory.mktemp("dinov2")
    return write_dinov2(folder), folder


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory) -> tuple[CLIPVisionModelWithProjection, Path]:
    """The same of CLIP."""
    folder = tmp_path_factory.mktemp("clip")
    return write_clip(folder), folder


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Crops of a photograph, wider than high: uint8 3 x 3 x 300 x 340."""
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    return torch.stack([photo[:, top : top + 300, 100:440] for top in (0, 90, 180)])


def hub_positions(embedding: torch.Tensor) -> torch.Tensor:
    """facebookresearch/dinov2, `interpolate_pos_encoding` at 224 px, with its default
    `interpolate_offset` and `interpolate_antialias`.
    """
    M, w0 = int(math.sqrt(embedding.shape[1] - 1)), 224 // 14
    patches = embedding[:, 1:].reshape(1, M, M, -1).permute(0, 3, 1, 2)
    scale = float(w0 + 0.1) / M
    patches = functional.interpolate(
        patches, mode="bicubic", antialias=False, scale_factor=(scale, scale)
    )
    assert patches.shape[-2:] == (w0, w0)
    patches = patches.permute(0, 2, 3, 1).view(1, -1, embedding.shape[-1])
    return torch.cat((embedding[:, :1], patches), dim=1)


def at_224_px(network: Dinov2Model, architecture: Architecture) -> Dinov2Model:
    """The network of transformers with the hub's position embedding for 16 x 16 patches."""
    name, state = "embeddings.position_embeddings", network.state_dict()
    smaller = dinov2_of(architecture, image_size=224)
    smaller.load_state_dict(state | {name: hub_positions(state[name])})
    return smaller


def test_dinov2_is_transformers_in_every_kind_of_file(dinov2_files, photographs):
    network, folder = dinov2_files
    with torch.inference_mode():
        states = at_224_px(network, DINOV2)(as_dgm_eval(photographs)).last_hidden_state
    found = [dinov2(folder / file.filename, CPU) for file in weights.KNOWN["dinov2_vitl14"].files]
    for features in found:
        torch.testing.assert_close(features(photographs), states[:, 0], rtol=1e-5, atol=1e-5)
        assert features.describe() == found[0].describe()


def test_clip_is_transformers_in_every_kind_of_file(clip_files, photographs):
    network, folder = clip_files
    with torch.inference_mode():
        embeddings = network(as_cmmd(photographs)).image_embeds
    found = [clip(folder / file.filename, CPU) for file in weights.KNOWN["clip_vitl14_336"].files]
    for features in found:
        torch.testing.assert_close(features(photographs), embeddings, rtol=1e-5, atol=1e-5)
        assert features.describe() == found[0].describe()


def pictures(images: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).numpy()]


def as_dgm_eval(images: torch.Tensor) -> torch.Tensor:
    """`DINOv2Encoder.transform` of layer6ai-labs/dgm-eval."""
    transform = transforms.Compose([
        transforms.Resize((224, 224), InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    return torch.stack([transform(picture) for picture in pictures(images)])


def as_cmmd(images: torch.Tensor) -> torch.Tensor:
    """`CMMDDataset` of sayakpaul/cmmd-pytorch, and CLIP's mean and standard deviation."""
    transform = transforms.Compose([
        transforms.Resize((336, 336), InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize(
            (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
        ),
    ])  # fmt: skip
    return torch.stack([transform(central_square(picture)) for picture in pictures(images)])


def central_square(picture: Image.Image) -> Image.Image:
    w, h = picture.size
    side = min(w, h)
    top, left = (h - side) // 2, (w - side) // 2
    return picture.crop((left, top, left + side, top + side))


@pytest.mark.parametrize(
    "height, width", [(300, 340), (341, 300), (64, 64), (224, 224), (336, 336)]
)
def test_images_are_prepared_as_by_the_authors(photographs, height, width):
    images = functional.interpolate(photographs[:2].float(), (height, width)).byte()
    prepare = partial(vision_transformers.prepare, images=images)
    assert torch.equal(prepare(DINOV2_VITL14), as_dgm_eval(images))
    assert torch.equal(prepare(CLIP_VITL14_336), as_cmmd(images))


def test_position_embeddings_are_resampled_as_in_dinov2_s_code():
    """Neither as transformers does (without the offset) nor as timm does (antialiased)."""
    embedding = torch.randn(1, 1 + 37**2, 8, generator=torch.Generator().manual_seed(0))
    found = vision_transformers.resampled_positions(embedding, 16)
    assert torch.equal(found, hub_positions(embedding))
    grid = embedding[:, 1:].reshape(1, 37, 37, 8).permute(0, 3, 1, 2)
    for antialias in (False, True):
        other = functional.interpolate(grid, (16, 16), mode="bicubic", antialias=antialias)
        assert (found[:, 1:] - other.flatten(2).mT).abs().max() > 0.1


def without(state, name):
    return {other: tensor for other, tensor in state.items() if other != name}


def of_inception() -> dict[str, torch.Tensor]:
    """Some tensors of FID's Inception-v3."""
    return {
        "Conv2d_1a_3x3.conv.weight": torch.ones(32, 3, 3, 3),
        "fc.weight": torch.ones(1008, 2048),
    }


CHANGES = {
    r"missing: cls_token$": lambda state: without(state, "cls_token"),
    r"not part of the model: register_tokens": lambda state: (
        state | {"register_tokens": torch.ones(1, 4, 64)}
    ),
    r"of a different shape: pos_embed": lambda state: state | {"pos_embed": torch.ones(1, 257, 64)},
    r"tensor norm.bias is not finite": lambda state: (
        state | {"norm.bias": torch.full((64,), torch.nan)}
    ),
    r"not the weights of DINOv2 ViT-L/14 .*: tensors missing: blocks.0": lambda state: (
        of_inception()
    ),
    r"must hold named tensors": lambda state: {"model": state},
}


@pytest.mark.parametrize("message", CHANGES)
def test_weights_of_another_network_are_refused(dinov2_files, tmp_path, message):
    state = torch.load(dinov2_files[1] / "dinov2_vitl14_pretrain.pth")
    path = tmp_path / "dinov2_vitl14_pretrain.pth"
    torch.save(CHANGES[message](state), path)
    with pytest.raises(UserError, match=message) as error:
        dinov2(path, CPU)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "missing, message",
    [
        ("visual_projection.weight", "missing: head.bias, head.weight"),
        ("vision_model.embeddings.position_embedding.weight", "missing: pos_embed"),
    ],
)
def test_a_clip_in_part_is_refused(clip_files, tmp_path, missing, message):
    name = file_of("clip_vitl14_336", "336/model.safetensors")
    path = tmp_path / name
    path.parent.mkdir()
    save_file(without(load_file(clip_files[1] / name), missing), path)
    with pytest.raises(UserError, match=message) as error:
        clip(path, CPU)
    assert str(path) in str(error.value)


def test_measured_by_name(dinov2_files, folders, monkeypatch, capsys, tmp_path):
    """The Frechet distance of what transformers computes, from a folder of transformers."""
    monkeypatch.setitem(FEATURES, "dinov2_vitl14", dinov2)
    network, folder = dinov2_files
    reference = at_224_px(network, DINOV2)
    sides = []
    for side in folders:
        images = np.stack([np.asarray(Image.open(path)) for path in sorted(side.iterdir())])
        prepared = as_dgm_eval(torch.from_numpy(images).permute(0, 3, 1, 2))
        with torch.inference_mode():
            sides.append(reference(prepared).last_hidden_state[:, 0].double().numpy())
    (tmp_path / "dinov2-large").symlink_to(folder / "dinov2-large")
    words = ["fd_dinov2_vitl14", *map(str, folders), "--weights-dir", str(tmp_path)]
    with pytest.raises(UserError, match=r"SHA-256 is .*, the published one is .*--allow-unknown"):
        main(words)
    main([*words, "--allow-unknown-weights"])
    *told, last = capsys.readouterr().out.splitlines()
    assert any(line.startswith("measured by: DINOv2 ViT-L/14") for line in told)
    name, value = last.split()
    assert name == "fd_dinov2_vitl14"
    assert float(value) == pytest.approx(reference_metrics.frechet(*sides), rel=1e-3)


def test_a_file_without_a_published_hash_says_so(tmp_path):
    path = tmp_path / file_of("dinov2_vitl14", "lvd142m")
    path.parent.mkdir()
    path.write_bytes(b"something")
    with pytest.raises(UserError, match=r"its SHA-256 is .*--allow-unknown-weights"):
        weights.load_path("dinov2_vitl14", tmp_path, allow_unknown=False)
    assert weights.load_path("dinov2_vitl14", tmp_path, allow_unknown=True) == path


@pytest.mark.slow  # 300 M numbers, several times
@pytest.mark.parametrize("architecture", [DINOV2_VITL14, DINOV2_VITB14])
def test_dinov2_at_full_size(architecture, photographs, tmp_path):
    network = randomised(dinov2_of(architecture), std=0.1)
    network.save_pretrained(tmp_path)
    with torch.inference_mode():
        states = at_224_px(network, architecture)(as_dgm_eval(photographs)).last_hidden_state
    features = FEATURES[architecture.network](tmp_path / "model.safetensors", CPU)
    torch.testing.assert_close(features(photographs), states[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow  # 300 M numbers, several times
def test_clip_at_full_size(photographs, tmp_path):
    network = randomised(CLIPVisionModelWithProjection(clip_config(CLIP_VITL14_336)), std=0.1)
    network.save_pretrained(tmp_path)
    with torch.inference_mode():
        embeddings = network(as_cmmd(photographs)).image_embeds
    features = FEATURES["clip_vitl14_336"](tmp_path / "model.safetensors", CPU)
    torch.testing.assert_close(features(photographs), embeddings, rtol=1e-3, atol=1e-3)
