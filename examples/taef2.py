"""TAEF2, a small autoencoder of photographs, by its authors' code and weights.

git clone https://github.com/madebyollin/taesd
python -m benchmarks.run reconstruction --systems taef2:TAEF2 --ckpt taef2:TAEF2=taesd --data PHOTOGRAPHS
"""

from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from benchmarks.plugin import Code, Part, System, UserError

SHA256 = {
    "taef2_encoder.pth": "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
    "taef2_decoder.pth": "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
}


class TAEF2(System):
    """TAEF2 of madebyollin/taesd: 32 features for each 8 x 8 pixels"""

    title, image_size, stride, range = "TAEF2", 256, 8, (0, 1)
    capabilities = frozenset({"encode", "decode", "semantic"})
    semantic_parts = (Part((32, None, None), reading="pooled"),)

    def __init__(self, path, device):  # path: the folder of their repository
        code, *weights = (Path(path or "taesd", name) for name in ("taesd.py", *SHA256))
        for file in weights:
            if not file.is_file() or sha256(file.read_bytes()).hexdigest() != SHA256[file.name]:
                raise UserError(f"{file}: is not that of github.com/madebyollin/taesd")
        spec = spec_from_file_location("taesd", code)
        spec.loader.exec_module(theirs := module_from_spec(spec))
        self.net = theirs.TAESD(*weights).eval().to(device)
        self.fingerprint = sha256(str(SHA256).encode() + code.read_bytes()).hexdigest()

    def encode_semantic(self, images):
        return self.net.encoder(images)

    def decode(self, code: Code, steps=100):
        return self.net.decoder(code.semantic)
