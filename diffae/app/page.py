"""The page: its controls and what they update. The only module that uses Gradio."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before the import of Gradio, which would otherwise report its start and ask for its newest version.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from diffae.app.studio import Studio
from diffae.images.commands import KNOWS
from diffae.images.options import SOLVER, STEPS
from diffae.system.errors import UserError

FIRST = ("Smiling", "Male", "Young", "Eyeglasses")  # their sliders are visible from the start
SOLVERS = (SOLVER, "ddim", "ab2-v", "dpm++2m")
INVERTED, DRAWN = "the picture's own", "drawn anew"
STRONGEST = 0.8
# pixels of a picture on the page, which is served from its file
PICTURE = {"type": "filepath", "height": 280}
# What the page does not do: tell others of itself, or open a browser.
OFF = ("share", "inbrowser", "ssr_mode", "pwa", "mcp_server", "enable_monitoring")
# Small pictures are enlarged, each pixel a square.
CSS = """.ours img { image-rendering: pixelated; width: 100% !important; height: 100% !important; object-fit: contain; }"""
WORDS = """**{title}** · {size} px. Drop a picture and move the sliders. Nothing leaves this machine; what is made says in its
metadata that a model made it."""


def build(studio: Studio, title: str) -> gr.Blocks:
    """Build the page of a studio."""
    names = studio.attributes
    first = [name for name in FIRST if name in names] or list(names[:4])
    with gr.Blocks(title="DiffAE", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        size, example = studio.model.image_size, studio.example()
        known = f"\n\nNote that {KNOWS.format(size=size)}." if example else ""
        gr.Markdown(WORDS.format(title=title, size=size) + known)
        with gr.Row():
            given = {"format": "png", "sources": ["upload", "clipboard"], "label": "Your picture"}
            picture = gr.Image(example, elem_id="picture", **given, **PICTURE)
            taken, result = _shown("The model's view", "taken"), _shown("Result", "result")
        with gr.Row():
            with gr.Column(scale=1):
                sliders = _sliders(names, first)
                steps = gr.Slider(2, 100, STEPS, step=1, label="T (steps)", elem_id="steps")
                solver = gr.Dropdown(list(SOLVERS), value=SOLVER, label="Solver", elem_id="solver")
                x_T = gr.Radio([INVERTED, DRAWN], value=INVERTED, label="x_T", elem_id="x_T")
                seed = gr.Number(0, precision=0, minimum=0, label="Seed of a drawn x_T")
            with gr.Column(scale=2):
                how = {"elem_id": "download", "variant": "primary", "interactive": False}
                download = gr.DownloadButton("Download the result", **how)
                words = gr.Markdown(elem_id="words")
                with gr.Row():
                    z, noise = _shown("z_sem", "z"), _shown("x_T", "noise")

        def move(
            path: str | None, t: int, by: str, which: str, number: int, *values: float
        ) -> Sequence[Any]:
            if not path:
                return None, None, None, None, "", gr.DownloadButton(interactive=False)
            drawn = int(number or 0) if which == DRAWN else None
            try:
                found = studio.show(Path(path), studio.edit(values), int(t), by, drawn)
            except UserError as error:
                told = str(error).removeprefix(f"{path}: ")
                raise gr.Error(told, print_exception=False) from None
            files = [str(file) for file in (found.taken, found.result, found.z, found.x_T)]
            return *files, found.words, gr.DownloadButton(value=files[1], interactive=True)

        controls = [picture, steps, solver, x_T, seed, *sliders]
        shown = [taken, result, z, noise, words, download]
        how = {"trigger_mode": "always_last", "show_progress": "minimal"}
        # whichever of the controls changes
        gr.on(None, move, controls, shown, api_visibility="private", **how)
    return page


def _shown(label: str, name: str) -> gr.Image:
    """A picture of ours, served from its file, so that a saved copy keeps its marks."""
    how = {"interactive": False, "elem_classes": "ours", "buttons": ["download"]}
    return gr.Image(label=label, elem_id=name, **how, **PICTURE)


def _sliders(names: Sequence[str], first: Sequence[str]) -> list[gr.Slider]:
    """One slider per attribute; only those of the chosen attributes are visible."""
    if not names:
        gr.Markdown("*No classifier beside this checkpoint: see `images learn`.*")
        return []
    how = {"multiselect": True, "label": "Attributes", "elem_id": "attributes"}
    chosen = gr.Dropdown(list(names), value=list(first), **how)
    kept = {"minimum": -STRONGEST, "maximum": STRONGEST, "value": 0, "step": 0.05}
    sliders = [
        gr.Slider(**kept, label=name, visible=name in first, elem_id=f"attribute-{name}")
        for name in names
    ]

    def seen(wanted: list[str]) -> list[Any]:
        return [
            gr.Slider(visible=True) if name in wanted else gr.Slider(value=0, visible=False)
            for name in names
        ]

    chosen.change(seen, chosen, sliders, show_progress="hidden", api_visibility="private")
    return sliders


def launch(page: gr.Blocks, host: str, port: int | None) -> str:
    """Serve the page in background threads and return its address.

    Raises UserError if the port is taken.
    """
    fonts = ["system-ui", "sans-serif"]
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            footer_links=[],
            max_file_size="64mb",
            prevent_thread_lock=True,
            quiet=True,
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            **dict.fromkeys(OFF, False),
        )
    except OSError as error:
        raise UserError(f"--port {port}: cannot be used ({str(error).splitlines()[0]})") from None
    return address
