"""The geometry of a face: positions and sizes of its parts, in a drawing of 200 x 200 units."""

from dataclasses import dataclass

from diffae.data.portraits.attributes import Portrait

CENTRE = 100.0


@dataclass(frozen=True)
class FaceGeometry:
    """Measures of a face from the front. `yaw` shifts its features sideways."""

    top: float
    chin: float
    half_width: float
    half_jaw: float
    eye_y: float
    eye_dx: float
    eye_rx: float
    eye_ry: float
    nose_y: float
    mouth_y: float
    mouth_half: float
    yaw: float

    @property
    def x(self) -> float:
        """The horizontal middle of the features."""
        return CENTRE + self.yaw

    @property
    def brow_y(self) -> float:
        return self.eye_y - 14

    @property
    def jaw_y(self) -> float:
        return self.chin - 22


def measure(portrait: Portrait) -> FaceGeometry:
    a, look = portrait.attributes, portrait.look
    half_width = 43 + 8 * look.width + 9 * a["Chubby"] - 6 * a["Oval_Face"]
    chin = 162 + 6 * look.length + 8 * a["Oval_Face"]
    jaw_share = 0.52 + 0.12 * look.jaw + 0.13 * a["Male"] + 0.22 * a["Chubby"]
    jaw_share -= 0.12 * a["Oval_Face"]
    eye_y = 97 + 5 * look.eye_height
    eye_size = 1 + 0.25 * look.eye_size + 0.22 * a["Attractive"]
    nose_y = eye_y + 24 + 5 * look.nose_length
    return FaceGeometry(
        top=34.0,
        chin=chin,
        half_width=half_width,
        half_jaw=half_width * min(jaw_share, 0.95),
        eye_y=eye_y,
        eye_dx=18.5 + 4 * look.eye_spacing,
        eye_rx=8.6 * eye_size,
        eye_ry=2.3 if a["Narrow_Eyes"] else 6.0 * eye_size,
        nose_y=nose_y,
        mouth_y=nose_y + 15 + 4 * look.mouth_height,
        mouth_half=14 + 5 * look.mouth_width + 4 * a["Smiling"],
        yaw=7 * portrait.scene.yaw,
    )
