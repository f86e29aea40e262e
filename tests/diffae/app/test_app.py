"""The app: its computations, its command, and the page in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import in_process
import numpy as np
import pytest
from PIL import Image
from programs import extra, program

from diffae import images
from diffae.app import __main__ as command
from diffae.app.studio import Studio, as_map
from diffae.checkpoints.packaged import PACKAGED
from diffae.data import portraits
from diffae.images.classifier import Classifier
from diffae.system.errors import UserError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def face(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("face") / "ada.png"
    Image.fromarray(portraits.render(portraits.portrait(0, 5), 64)).save(path)
    return path


@pytest.fixture
def made(tmp_path):
    return Studio.of("portraits", None, "cpu", tmp_path / "made")


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize("strengths", [{}, {"Male": 0.4, "Smiling": -0.2}])
def test_a_result_is_the_verb_s_and_says_so(made, model, face, strengths):
    shown = made.show(face, strengths, 2, "fast")
    x = images.read(face, 32)
    expected = images.edit(model, x, strengths, steps=2)
    assert np.array_equal(pixels(shown.result), images.to_pil(expected)[0])
    assert np.array_equal(pixels(shown.taken), images.to_pil(x)[0])
    mark = images.read_mark(shown.result)
    assert mark["edit"] == strengths and mark["x_T"] == "inverted" and mark["source"] == "ada.png"
    assert mark["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    name = "ada-Male+0.4_Smiling-0.2.png" if strengths else "ada-unedited.png"
    assert shown.result.name == name
    assert "z_sem: 256 numbers" in shown.words


def test_strengths_are_those_of_the_attributes_in_their_order(made, model, face):
    values = [0.4 if name == "Male" else 0.0 for name in made.attributes]
    shown = made.show(face, made.edit(values), 2, "fast")
    assert images.read_mark(shown.result)["edit"] == {"Male": 0.4}
    expected = images.edit(model, images.read(face, 32), {"Male": 0.4}, steps=2)
    assert np.array_equal(pixels(shown.result), images.to_pil(expected)[0])


def test_a_drawn_x_T_is_the_seed_s(made, model, face):
    shown = made.show(face, {}, 2, "fast", seed=3)
    expected = images.vary(model, images.read(face, 32), 1, seed=3, steps=2)[:, 0]
    assert np.abs(pixels(shown.result) - images.to_pil(expected)[0]).max() <= 1
    assert images.read_mark(shown.result)["x_T"] == "drawn, seed 3"


def test_a_slider_decodes_only(made, face, monkeypatch):
    made.show(face, {}, 2, "fast")
    monkeypatch.setattr(made.model, "encode", None)
    made.show(face, {"Male": 0.1}, 2, "fast")
    with pytest.raises(TypeError):
        made.show(face, {}, 3, "fast")


def test_what_is_no_picture_is_said(made, tmp_path):
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(UserError, match="cannot read this image"):
        made.show(tmp_path / "a.png", {}, 2, "fast")


def test_a_code_is_drawn_as_far_as_it_is_from_the_mean(model):
    z = model.z_mean[0].clone()
    z[0] += 3 * model.z_std[0, 0]
    z[1] -= 9 * model.z_std[0, 1]
    drawn = np.asarray(as_map(z, (model.z_mean[0], model.z_std[0])))
    assert drawn.shape == (16, 16, 3)
    assert drawn[0, 0].tolist() == [178, 24, 43] and drawn[0, 1].tolist() == [33, 102, 172]
    assert (drawn[1:] == 247).all()


def test_every_picture_of_the_page_is_of_the_code_and_says_how_it_was_made(made, model, tmp_path):
    """A photograph that is no square: x_T is grey at 0 and white at 3 standard deviations."""
    photo = tmp_path / "a photo.png"
    Image.fromarray(portraits.render(portraits.portrait(0, 5), 64)[:40]).save(photo)
    shown = made.show(photo, {"Male": 0.4}, 2, "ddim")
    x = images.read(photo, 32)
    z, noise = images.encode(model, x, 2, "ddim")
    z = z + made.classifier.move({"Male": 0.4})
    assert np.array_equal(pixels(shown.taken), images.to_pil(x)[0])
    for path, drawn in (
        (shown.x_T, images.to_pil(noise.clamp(-3, 3) / 3)[0]),
        (shown.z, as_map(z[0], (model.z_mean[0], model.z_std[0]))),
    ):
        assert np.abs(pixels(path) - drawn).max() <= 1
    for path in (shown.taken, shown.result, shown.z, shown.x_T):
        mark = images.read_mark(path)
        told = ("source", "cut", "edit", "steps", "solver", "x_T", "checkpoint", "classifier")
        assert [mark[name] for name in told] == [
            "a photo.png", "center", {"Male": 0.4}, 2, "ddim", "inverted", "portraits",
            made.classifier.made,
        ]  # fmt: skip
    first, *_, reads = shown.words.split(". ", 2)
    assert first == "Cut to the middle square of 64 x 40"
    logits = made.classifier.logits(z)[0].double()
    most = sorted(range(len(logits)), key=lambda i: -logits[i])[:5]
    told = ", ".join(f"{made.attributes[i]} {logits[i].sigmoid():.2f}" for i in most)
    assert reads == f"The code reads as {told}."


def test_a_square_picture_is_not_said_to_be_cut(made, face):
    assert made.show(face, {}, 2, "fast").words.startswith("z_sem: 256 numbers; x_T: 3 x 32 x 32.")


def test_the_classifier_that_is_given_is_taken_and_must_be_of_the_checkpoint(made, tmp_path):
    """Not the one beside the checkpoint."""
    known = made.classifier
    other = Classifier(("Odd", *known.names[1:]), known.probe, known.checkpoint, "by hand")
    other.save(tmp_path / "own.safetensors")
    given = Studio.of("portraits", tmp_path / "own.safetensors", "cpu", tmp_path)
    assert given.attributes[0] == "Odd" and given.settings["classifier"] == "by hand"
    replace(other, checkpoint="0" * 64).save(tmp_path / "strange.safetensors")
    with pytest.raises(UserError, match="strange.safetensors"):
        Studio.of("portraits", tmp_path / "strange.safetensors", "cpu", tmp_path)


def test_a_code_without_known_moments_is_drawn_by_its_own(model):
    z = model.z_mean[0] + 2.0
    drawn = np.asarray(as_map(z, None)).astype(int)
    again = np.asarray(as_map(3 * z + 5, None)).astype(int)
    assert np.abs(drawn - again).max() <= 1


# ----------------------------------------------------------------------------------------------
# The command


def test_without_gradio_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    done = in_process.command(command.main, cache=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: the page needs gradio: pip install 'gradio>=6'\n"


@pytest.mark.parametrize(
    "words, said",
    [
        (("--ckpt", "nowhere"), "nowhere: no such checkpoint"),
        (("--ckpt", "portraits-ddim"), "holds a ddim"),
        (("--classifier", "no.safetensors"), "no.safetensors: no such file"),
        (("--port", "70000"), "--port: must be at most 65,535"),
        (("--share",), "unknown argument --share"),
    ],
)
def test_what_is_wrong_is_a_line(tmp_path, words, said):
    extra("gradio", "app")
    done = in_process.command(command.main, *words, cache=tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_checkpoint_without_a_classifier_has_a_page_without_attributes(tmp_path, face):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bare").mkdir(exist_ok=True)
        shutil.copy(PACKAGED / "portraits" / name, tmp_path / "bare")
    made = Studio.of(str(tmp_path / "bare"), None, "cpu", tmp_path / "made")
    assert made.attributes == () and made.show(face, {}, 2, "fast").result.is_file()
    assert made.example() is None


def test_the_example_is_a_portrait_that_the_packaged_model_has_not_seen(made):
    """The first that is held out of 256 px; the model takes it as a portrait of 32 px."""
    split = np.array([portraits.portrait(0, i).partition for i in range(40)])
    first = portraits.portrait(0, int(np.flatnonzero(split == 2)[0]))
    example = made.example()
    assert np.array_equal(pixels(example), portraits.render(first, 256))
    shown = made.show(example, {}, 10, "fast")
    assert np.abs(pixels(shown.taken) - portraits.render(first, 32)).mean() < 4


# ----------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture
def outside(monkeypatch):
    """Addresses beyond this machine that this process connects to."""
    asked = []
    connect = socket.socket.connect

    def watched(self, address):
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(
            ("127.", "::1", "localhost")
        ):
            asked.append(address)
            raise OSError("no network in this test")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    return asked


@pytest.fixture
def address(made, tmp_path, monkeypatch, outside):
    """The page of the packaged model, served by this process."""
    extra("gradio", "app")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.chdir(tmp_path)
    from diffae.app import page

    made.folder = tmp_path / "gradio" / "made"
    served = page.build(made, "portraits")
    yield page.launch(served, "127.0.0.1", None)
    served.close(verbose=False)


def test_the_page_in_a_browser(address, model, face, tmp_path, outside):
    """It opens with a drawn portrait. A picture is dropped, a slider moved, the result changes and is
    downloaded with its marks; no word to anybody else.
    """
    from playwright.sync_api import sync_playwright

    errors, asked = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(address)
        shows = "name => document.querySelector('#result img')?.src.includes(name)"
        page.wait_for_function(shows, arg="drawn-portrait")
        said = page.inner_text("body")
        page.set_input_files("#picture input[type=file]", face)
        page.wait_for_function(shows, arg="ada")
        first = page.locator("#result img").get_attribute("src")
        page.locator("#attribute-Male input[type=range]").fill("0.4")
        page.wait_for_function(
            "old => document.querySelector('#result img').src !== old", arg=first
        )
        page.wait_for_function("document.querySelector('#result img').src.includes('Male')")
        assert page.locator("#z img").count() == page.locator("#noise img").count() == 1
        with page.expect_download() as download:
            page.locator("#download").click()
        download.value.save_as(tmp_path / "kept.png")
        browser.close()
    assert "knows drawn portraits of 32 px only" in said
    mark = images.read_mark(tmp_path / "kept.png")
    assert mark["source"] == "ada.png"
    assert mark["edit"] == {"Male": 0.4} and mark["steps"] == 10
    expected = images.edit(model, images.read(face, 32), {"Male": 0.4})
    assert np.abs(pixels(tmp_path / "kept.png") - images.to_pil(expected)[0]).max() <= 1
    strangers = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not errors and not strangers and not outside


def test_a_port_that_is_taken_is_said(made, monkeypatch):
    extra("gradio", "app")
    from diffae.app import page

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: cannot be used"):
            page.launch(page.build(made, "portraits"), "127.0.0.1", port)


@pytest.mark.slow
def test_the_process_listens_here_only_and_leaves_nothing(tmp_path):
    extra("gradio", "app")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    environment = in_process.environment(tmp_path) | {"TMPDIR": str(scratch)}
    with subprocess.Popen(
        [sys.executable, "-m", "diffae.app"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:") and list(scratch.iterdir())
        port = int(line.split(":")[2].split("/")[0])
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((own, port), timeout=2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert "terminated" in process.stderr.read()
    assert not list(scratch.iterdir())
