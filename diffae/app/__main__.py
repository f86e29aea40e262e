"""A page on this machine: drop a picture, move sliders, download what comes of it (`diffae-bench docs pictures`).

    pip install gradio
    python -m diffae.app

It listens to this machine only, works offline and sends nothing. Pictures that were dropped are removed when it ends.
"""

import importlib.util
import os
import tempfile
import time
from pathlib import Path

from diffae.system import cli
from diffae.system.errors import UserError, pip_install
from diffae.system.signals import importing, quit_on_signals

LOCAL = "127.0.0.1"


def main(arguments: list[str] | None = None) -> None:
    parser = cli.Parser(cli.prog("diffae.app"), __doc__)
    add = parser.add_argument
    ckpt = "a checkpoint, as for diffae.images (default: portraits)"
    add("--ckpt", type=cli.word, default="portraits", help=ckpt)
    beside = "default: the one beside the checkpoint"
    add("--classifier", type=cli.path, metavar="FILE", help=beside)
    add("--device", type=cli.device, help="cpu, cuda or cuda:N")
    host = f"address to listen on (default: {LOCAL}, this machine only)"
    add("--host", type=cli.word, default=LOCAL, help=host)
    port = "default: the first free one from 7860 on"
    add("--port", type=cli.between(1, 65_535), help=port)
    args = parser.parse(arguments)
    if importlib.util.find_spec("gradio") is None:
        raise UserError(f"the page needs gradio: {pip_install('app')}")
    with tempfile.TemporaryDirectory(prefix="diffae-app-") as scratch:
        # Gradio keeps uploads here and serves files from it; it is read on import
        os.environ["GRADIO_TEMP_DIR"] = scratch
        with importing():
            from diffae.app import page
            from diffae.app.studio import Studio
            from diffae.images.run import checkpoint_name
        made = Studio.of(args.ckpt, args.classifier, args.device, Path(scratch) / "made")
        shown = page.build(made, checkpoint_name(args.ckpt))
        address = page.launch(shown, args.host, args.port)
        if args.host not in (LOCAL, "localhost", "::1"):
            cli.say(f"--host {args.host}: whoever reaches this machine can use the page")
        print(f"{address} (Ctrl-C ends it)", flush=True)
        try:
            while True:  # until the process is ended by a signal
                time.sleep(3600)
        finally:
            shown.close(verbose=False)


if __name__ == "__main__":
    quit_on_signals()
    cli.run(main)
