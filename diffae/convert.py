"""Convert a checkpoint into a folder for the Hugging Face Hub: weights, configuration, model card.

    python -m diffae.convert last.ckpt OUT
    python -m diffae.convert runs/mine OUT --run runs/mine-standard --licence mit

Of the authors' last.ckpt only the EMA weights are kept, in float32: about a quarter of the file (0.5 GB
instead of 2 GB for FFHQ128). The result gives the same outputs, loads faster and holds no pickle. The
files of a checkpoint of ours are copied as they are.
"""

import shutil
from pathlib import Path

from diffae.checkpoints import hub
from diffae.system import cli
from diffae.system.files import OutputPath, amount, refuse_outputs, writing
from diffae.system.whole import whole_folder, write_whole


def main(arguments: list[str] | None = None) -> None:
    parser = cli.Parser(cli.prog("diffae.convert"), __doc__)
    add, kinds = parser.add_argument, "the authors' last.ckpt, a folder of ours, or a packaged name"
    add("checkpoint", type=cli.word, metavar="CKPT", help=f"{kinds}; also hf://OWNER/NAME")
    add("out", type=cli.path, metavar="OUT", help="folder to write, which must not exist")
    add("--run", type=cli.path, help="run folder that measured CKPT, for the card's results")
    add("--licence", type=cli.word, metavar="ID", help="of the weights, as the Hub names it: mit")
    args = parser.parse(arguments)

    from diffae import DDIM, DiffusionAutoencoder
    from diffae.checkpoints import card
    from diffae.checkpoints.checkpoint import FILES, Folder, open_checkpoint
    from diffae.networks.config import AUTOENCODER

    place = hub.local(args.checkpoint)
    refuse_outputs([OutputPath("OUT", args.out)], [place, args.run])
    checkpoint = open_checkpoint(place)
    kind = checkpoint.config.kind
    rows = [] if args.run is None else card.measured(args.run, checkpoint.fingerprint())
    model_class = DiffusionAutoencoder if kind == AUTOENCODER else DDIM
    model = model_class.from_pretrained(place)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    text = card.render(args.out.name, checkpoint, parameters, rows, args.licence)
    with writing(args.out, "or choose another OUT"), whole_folder(args.out) as partial:
        if isinstance(checkpoint, Folder):
            for file in filter(Path.is_file, (checkpoint.path / name for name in FILES)):
                shutil.copyfile(file, partial / file.name)
        else:
            model.save_pretrained(partial)
        write_whole(partial / "README.md", text.encode())
    size = sum(file.stat().st_size for file in args.out.iterdir())
    print(f"{args.out}: {kind}, {model.image_size} px, {amount(size)}")


if __name__ == "__main__":
    cli.run(main)
