"""How a CLIP model resizes and crops a picture, with Pillow alone, so that worker processes need no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

# OPENAI_DATASET_MEAN and _STD of open_clip, its defaults
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MAX_SIDE = 4096  # pixels of a model's input: with more, one picture would fill the memory


@dataclass(frozen=True)
class Preprocess:
    """The evaluation transform of open_clip without its normalisation, bit for bit, with Pillow alone.

    Parameters
    ----------
    size
        Height and width in pixels.
    interpolation
        ``bicubic`` or ``bilinear``.
    resize_mode
        ``shortest`` fills the size and crops, ``longest`` fits the picture inside and pads, ``squash`` distorts it.
    fill
        Grey level of the padding.
    mean, std
        Mean and standard deviation of each channel, for pixels between 0 and 1.
    """

    size: tuple[int, int]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill: int = 0
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    def check(self) -> Self:
        """Return itself, or raise a ValueError for values that no picture can be prepared with."""
        modes = {"interpolation": ("bicubic", "bilinear"), "resize_mode": ("shortest", "longest", "squash")}
        wrong = [
            f"{name} {getattr(self, name)!r}" for name, ok in modes.items() if getattr(self, name) not in ok
        ]
        if not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in self.size):
            wrong.append(f"image_size {self.size}")
        if not (isinstance(self.fill, int) and 0 <= self.fill <= 255):
            wrong.append(f"fill_color {self.fill!r}")
        for name in ("mean", "std"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if (
                values.shape != (3,)
                or not np.isfinite(values).all()
                or (name == "std" and (values <= 0).any())
            ):
                wrong.append(f"{name} {getattr(self, name)}")
        if wrong:
            msg = f"it cannot have {', '.join(wrong)}"
            raise ValueError(msg)
        return self

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB picture into (height, width, 3) uint8."""
        from PIL import Image

        height, width = self.size
        square = height == width
        # open_clip ignores the interpolation of non-square models in this mode
        bilinear = self.interpolation == "bilinear" and (square or self.resize_mode != "shortest")
        kernel = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        scaled = self._scaled_size(image.size)
        resized = image if scaled == image.size else image.resize(scaled, kernel)
        return np.asarray(_center(resized, (width, height), self.fill))

    def _scaled_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height after resizing, rounded as torchvision and timm round them."""
        height, width = self.size
        if self.resize_mode == "squash":
            return width, height
        if self.resize_mode == "shortest" and height == width:
            short, long = min(size), max(size)
            scaled = int(height * long / short)
            return (height, scaled) if size[0] <= size[1] else (scaled, height)
        ratios = (size[1] / height, size[0] / width)
        ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
        return round(size[0] / ratio), round(size[1] / ratio)


def _center(image: Image.Image, size: tuple[int, int], fill: int) -> Image.Image:
    """Crop or pad to `size` (width, height) around the centre, rounded as torchvision does."""
    from PIL import ImageOps

    width, height = size
    if image.width < width or image.height < height:
        extra = (max(width - image.width, 0), max(height - image.height, 0))
        border = (extra[0] // 2, extra[1] // 2, (extra[0] + 1) // 2, (extra[1] + 1) // 2)
        image = ImageOps.expand(image, border, fill=(fill,) * 3)
    if image.size == size:
        return image
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
