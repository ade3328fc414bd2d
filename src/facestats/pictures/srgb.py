"""Turn the pixels of a decoded image into 8-bit sRGB: grey levels of 16 bits, colour profiles, transparency."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.pictures.kinds import PictureError

if TYPE_CHECKING:
    from PIL import Image

_MATTE = (128, 128, 128)  # mid-grey replaces transparent pixels, whose own colour is arbitrary
_FULL_SCALES = (255, 4095)  # 16 bits of which only 8 or 12 are used, as scanners and cameras write them
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of the pixels that a profile describes
_MAX_NAME = 80  # characters


def to_srgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Return the pixels as RGB in 8 bits, and the name of the colour profile that they had.

    Colours with a profile are converted to sRGB; a broken profile, or one of other pixels, counts as none.

    Raises
    ------
    PictureError
        If the levels have no known scale, or the pixels are of a kind that cannot be converted.
    """
    from PIL import Image

    image = _to_8_bits(image)
    if image.mode in {"F", "LAB", "HSV"}:
        raise PictureError(
            status="unsupported_format",
            text=f"the pixels have mode {image.mode}; save the picture as 8-bit RGB",
        )
    profile, name = _read_profile(image.info.get("icc_profile"))
    if image.has_transparency_data:
        front = image.convert("RGBA")
        if (colours := _convert(front.convert("LA" if image.mode == "LA" else "RGB"), profile)) is not None:
            colours.putalpha(front.getchannel("A"))
            front = colours
        back = Image.new("RGBA", front.size, (*_MATTE, 255))
        return Image.alpha_composite(back, front).convert("RGB"), name
    if (colours := _convert(image, profile)) is not None:
        return colours, name
    return image if image.mode == "RGB" else image.convert("RGB"), name


def uses_few_levels(image: Image.Image, *, was_deep: bool) -> bool:
    """Whether colours of 16 bits, of which Pillow keeps the upper 8, use 12 bits only: they are nearly black then."""
    if not was_deep or image.mode not in {"RGB", "RGBA"}:
        return False
    return 0 < np.asarray(image.convert("RGB")).max() <= _FULL_SCALES[1] >> 8


def _to_8_bits(image: Image.Image) -> Image.Image:
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise PictureError(
            status="unsupported_format",
            text="the picture has grey levels outside 0 to 65535; save it with 8 or 16 bits",
        )
    # Pillow's convert clips the values instead of scaling them
    full = next((scale for scale in _FULL_SCALES if levels.max() <= scale), 65535)
    grey = Image.fromarray(((levels.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8))
    grey.info = {name: value for name, value in image.info.items() if name == "icc_profile"}
    return grey


def _read_profile(content: object) -> tuple[Any, str | None]:
    """Return a profile to convert from, and its name; no profile if the pixels are sRGB or the profile is broken."""
    if not isinstance(content, bytes) or not content:
        return None, None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        said = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None, None
    name = "".join(c if c.isprintable() else " " for c in said).strip()[:_MAX_NAME]
    return None if "sRGB" in name else profile, name or "without a name"


def _convert(image: Image.Image, profile: Any) -> Image.Image | None:
    """Convert pixels from their profile to sRGB; None if there is no profile, or it describes other pixels."""
    if profile is None:
        return None
    from PIL import ImageCms

    mode = _MODES.get(profile.profile.xcolor_space.strip())
    is_grey = image.mode in {"1", "L", "LA"}
    if mode is None or (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not is_grey):
        return None
    try:
        return ImageCms.profileToProfile(
            image.convert(mode), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
