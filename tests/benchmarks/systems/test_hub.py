"""Checkpoints on the Hugging Face Hub, by its own library, from a server that imitates it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import diffusers_models
import pytest
import torch
from hub_stand_in import TOKEN, Hub, serve
from huggingface_hub import constants, file_download
from official_files import Payload, tiny_state, write_lightning
from refusal import refusal

from benchmarks import evaluate, run, systems
from benchmarks.commands import options
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import hub as our_hub
from diffae.checkpoints.packaged import PACKAGED
from diffae.system.errors import UserError

ROOT = Path(__file__).parents[3]
FIND = """
import sys
from diffae.checkpoints import hub
from diffae.system.errors import UserError
for address in sys.argv[1:]:
    try:
        print(*hub.find(address))
    except UserError as error:
        print(error)
assert "torch" not in sys.modules
"""
WEIGHTS = {"model.safetensors": b"x", "README.md": b"x"}


@pytest.fixture
def server():
    hub = Hub()
    stopped = serve(hub)
    yield hub
    stopped.shutdown()
    stopped.server_close()


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """The server as the Hub of the library in this process, with a cache of its own."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # the second in releases before 1.0
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return server


def found_by_a_child(server: Hub, home: Path, *addresses: str, **more: str) -> list[str]:
    """What `find` says of addresses, a line each, in a process with the library's own variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    ours = {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    ended = subprocess.run(
        [sys.executable, "-c", FIND, *addresses],
        capture_output=True, text=True, cwd=ROOT, env=kept | ours | more,
    )  # fmt: skip
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    return ended.stdout.splitlines()


def test_the_variables_of_the_library_count(server, tmp_path):
    """Downloaded once, then from the cache without a request; a private model with its token."""
    commit = server.push("me/model", WEIGHTS)
    server.push("me/mine", WEIGHTS)
    server.private = {"me/mine"}
    names = ("hf://me/model", f"hf://me/model@{commit}", "hf://me/mine", "hf://me/other")
    online = found_by_a_child(server, tmp_path, *names, HF_TOKEN=TOKEN)
    folder, address = online[0].split()
    assert Path(folder).is_relative_to(tmp_path) and address == f"hf://me/model@{commit}"
    assert online[1] == online[0] and online[2].endswith(
        "hf://me/mine@" + Path(online[2].split()[0]).name
    )
    assert online[3].startswith("hf://me/other: not on the Hub, or private")
    server.seen.clear()
    offline = found_by_a_child(server, tmp_path, *names, HF_HUB_OFFLINE="1")
    assert offline[:3] == online[:3] and not server.seen
    assert offline[3].startswith("hf://me/other: not in the cache, and the Hub cannot be reached")
    assert "HF_HUB_OFFLINE" in offline[3]


def test_only_what_is_read_is_downloaded(hub):
    """No pickle, no code and no other part of a pipeline, unless it is named."""
    parts = ("vae/diffusion_pytorch_model.safetensors", "vae/config.json", "model_index.json")
    texts = ("README.md", "config.json", "training.json")
    weights = ("model.safetensors", "classifier.safetensors")
    wanted = {*parts, *texts, *weights}
    others = ("pytorch_model.bin", "last.ckpt", "x.pt", "run.py", "sd_v1.safetensors", "a.png")
    others += ("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin")
    hub.push("me/model", {name: name.encode() for name in (*wanted, *others)})
    our_hub.find("hf://me/model")
    assert hub.fetched() == wanted
    assert our_hub.local("hf://me/model/last.ckpt").endswith("/last.ckpt")
    assert our_hub.local("hf://me/model/unet#size=64").endswith("/unet#size=64")
    assert hub.fetched() - wanted == {"last.ckpt", "unet/diffusion_pytorch_model.safetensors"}


REFUSED = {
    "hf://me": "not an address of the Hub: hf://OWNER/NAME",
    "hf://me/model/../x": "not an address of the Hub",
    "hf://me/a--b": "Cannot have -- or ..",
    "hf://me/none": "not on the Hub, or private: check the name",
    "hf://me/mine": "set HF_TOKEN to a token that may read it",
    "hf://me/gated": "gated: accept its terms on its page",
    "hf://me/model@v9": "has no revision v9",
    "hf://me/ckpt": "no folder with model.safetensors",
    "hf://me/ckpt/model.pt": "no such file",
}


@pytest.mark.parametrize("address", REFUSED)
def test_what_cannot_be_had_is_one_line(hub, address):
    for name in ("me/model", "me/mine", "me/gated"):
        hub.push(name, WEIGHTS)
    hub.push("me/ckpt", {"last.ckpt": b"x"})
    hub.private, hub.gated = {"me/mine"}, {"me/gated"}
    with pytest.raises(UserError) as error:
        our_hub.find(address)
    line = str(error.value)
    assert line.startswith(f"{address}: ") and REFUSED[address] in line and "\n" not in line


def test_without_the_hub_or_the_library(hub, monkeypatch):
    hub.push("me/model", WEIGHTS)
    hub.status = 500
    with pytest.raises(UserError, match=r"hf://me/model: not in the cache.*\(.*500"):
        our_hub.find("hf://me/model")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the Hub cannot be reached \(.*(refused|port=9)"):
        our_hub.find("hf://me/model")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UserError, match=r"^hf://me/model: needs.*pip install 'huggingface_hub>=[\d.]+'$"
    ):
        our_hub.find("hf://me/model")


def test_models_are_those_of_the_folders(hub, tmp_path):
    """Ours, and the authors' file, which is read as a local one: nothing in it is run."""
    hub.push("me/baseline", PACKAGED / "portraits-ddim")
    theirs = DDIM.from_pretrained("hf://me/baseline").state_dict()
    for name, tensor in DDIM.from_pretrained("portraits-ddim").state_dict().items():
        assert torch.equal(tensor, theirs[name])
    path = write_lightning(tmp_path / "last.ckpt", tiny_state(), extra=Payload(tmp_path / "ran"))
    commit = hub.push("me/authors", {"tiny/last.ckpt": path.read_bytes()})
    address = f"hf://me/authors@{commit}/tiny/last.ckpt"
    model = DiffusionAutoencoder.from_pretrained(address)
    local = DiffusionAutoencoder.from_pretrained(path)
    assert torch.equal(model.unet.out[2].weight, local.unet.out[2].weight)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="holds a diffusion_autoencoder, not a ddim"):
        DDIM.from_pretrained(Path(address))  # a Path drops a slash


def test_the_command_line_takes_an_address(hub, tmp_path, monkeypatch, capsys):
    """The kind of the checkpoint shows the system; models of diffusers are called after their
    repository, and a name that is no folder is said to be one of the Hub.
    """
    monkeypatch.chdir(tmp_path)
    diffusers_models.save(tmp_path / "saved" / "vae", "AutoencoderKL")
    (tmp_path / "saved/model_index.json").write_text(
        json.dumps({"vae": ["diffusers", "AutoencoderKL"]})
    )
    hub.push("me/kl", tmp_path / "saved")
    hub.push("me/small", PACKAGED.parents[1] / "benchmarks/systems/pretrained/vqvae2")
    hub.push("me/baseline", PACKAGED / "portraits-ddim")
    given = ["hf://me/kl", "hf://me/kl/vae", "hf://me/small", "hf://me/baseline"]
    words = [word for one in given for word in ("--ckpt", one)]
    parsed = options.parse(["reconstruction", *words], None)
    names = ["diffusers:kl (AutoencoderKL)", "diffusers:vae (AutoencoderKL)", "vqvae2", "ddim"]
    assert list(parsed.checkpoints.items()) == list(zip(names, given, strict=True))
    system = systems.load("diffusers", "hf://me/kl#size=64")
    assert (system.title, system.image_size) == ("kl (AutoencoderKL)", 64)
    assert system.origin.startswith("hf://me/kl@") and system.origin.endswith("#size=64")
    assert "a model on the Hub is hf://me/kl" in refusal(run.main, capsys, "all", "--ckpt", "me/kl")
    line = refusal(run.main, capsys, "all", "--dry-run", "--ckpt", "diffae=hf://me/none")
    assert "hf://me/none: not on the Hub" in line


MODULE = '''
import torch
from pathlib import Path
from benchmarks.systems import Code, System

class Grey(System):
    """Mean of an image"""
    title, image_size, latent_dim = "Grey", 32, 1
    capabilities = frozenset({"encode", "decode", "semantic"})

    def __init__(self, path, device):
        self.fingerprint = Path(path).read_text()

    def encode_semantic(self, images):
        return images.mean((1, 2, 3))[:, None]

    def decode(self, code, steps=100):
        return code.semantic[:, :, None, None].expand(-1, 3, 32, 32)
'''


def test_a_run_records_the_commit(hub, tmp_path, monkeypatch, patches):
    """Of a plug-in's file too, which its class is given on this machine."""
    (tmp_path / "their_grey.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    hub.push("me/grey", {"weights.txt": b"first"})
    commit = hub.push("me/grey", {"weights.txt": b"second"})
    out = tmp_path / "run"
    evaluate(
        "their_grey:Grey=hf://me/grey/weights.txt", "reconstruction", patches, "smoke", out=out
    )
    notes = json.loads((out / "run.json").read_text())
    assert notes["hub"] == {"Grey": f"hf://me/grey@{commit}/weights.txt"}
    assert notes["weights"]["Grey"].startswith("second") and notes["titles"] == {"Grey": "Grey"}
    known = systems.as_system(systems.load("their_grey:Grey", "hf://me/grey/weights.txt"))
    assert known.origin == notes["hub"]["Grey"]
