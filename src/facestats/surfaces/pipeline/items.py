"""What goes into a character pipeline: paths, bytes, Pillow images and arrays become the bytes of picture files."""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from facestats.pictures.decode import PictureError, make_upright_rgb, read_picture_bytes
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL import Image

AnyPicture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]"

_ACCEPTED = (
    "a Pillow image, an array, the path of a picture, the bytes of a picture file, or"
    " CharacterPipeline.Item(id, image, text)"
)


@dataclass(frozen=True)
class Item:
    """One input: a picture, a text, or both.

    Parameters
    ----------
    id
        Name of the answer; by default the file name of the picture, else ``image`` or ``text``.
    image
        Path of a picture, the bytes of a picture file, a Pillow image, an array, or why there is none of them.
    text
        A text about the person.
    """

    id: str = ""
    image: AnyPicture | PictureError | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            has_picture = self.image is not None and not isinstance(self.image, PictureError)
            object.__setattr__(self, "id", name_picture(self.image) if has_picture else "text")  # type: ignore[arg-type]
        if not isinstance(self.text, str | None):
            msg = f"the text of the input {self.id!r} must be a string, this is a {type(self.text).__name__}"
            raise TypeError(msg)
        if not (self.image is None or isinstance(self.image, PictureError) or _is_picture(self.image)):
            msg = f"the input {self.id!r} is a {type(self.image).__name__}; give {_ACCEPTED}"
            raise TypeError(msg)

    def __repr__(self) -> str:
        image = f"<{len(self.image):,} bytes>" if isinstance(self.image, bytes) else repr(self.image)
        if isinstance(self.image, np.ndarray):
            image = f"<array {self.image.shape}>"
        return f"Item({self.id!r}, image={image}, text={self.text!r})"


AnyInput: TypeAlias = "Item | AnyPicture"


def as_items(inputs: Iterable[AnyInput]) -> list[Item]:
    """Name the inputs that have no name; raise TypeError if one of them is no picture."""
    if isinstance(inputs, Item) or (
        _is_picture(inputs) and not (isinstance(inputs, np.ndarray) and inputs.ndim > 3)
    ):
        msg = (
            f"process_batch takes a list of inputs, this is a single {type(inputs).__name__}: put it into [ ]"
        )
        raise TypeError(msg)
    return [one if isinstance(one, Item) else Item(name_picture(one), one) for one in inputs]


def distinct_ids(items: Iterable[Item]) -> list[Item]:
    """Give each input an id of its own: a repeated one gets a number."""
    named: dict[str, Item] = {}
    numbers: Counter[str] = Counter()
    for item in items:
        own = item.id
        while own in named:
            numbers[item.id] += 1
            own = f"{item.id}-{numbers[item.id] + 1}"
        named[own] = replace(item, id=own)
    return list(named.values())


def name_picture(image: AnyPicture) -> str:
    """Return the file name of a picture, or `image` if it has none."""
    if isinstance(image, str | os.PathLike):
        return Path(image).name
    file = getattr(image, "filename", None)  # of a Pillow image that was opened from a file
    return Path(file).name if isinstance(file, str) and file else "image"


def read_image(item: Item) -> bytes | PictureError | None:
    """Return the bytes of a picture file; a failure is returned, not raised."""
    image = item.image
    if image is None or isinstance(image, bytes | PictureError):
        return image
    try:
        if isinstance(image, str | os.PathLike):
            return read_picture_bytes(picture_path(str(image)))
        return _encode(_from_array(image) if isinstance(image, np.ndarray) else image)
    except PictureError as error:
        if error.status != "vanished":
            return error
        hint = "; a text goes to process_text" if " " in str(image) else ""
        return PictureError(status="vanished", text=f"there is no such file; check the path{hint}")


def _is_picture(value: object) -> bool:
    if isinstance(value, str | os.PathLike | bytes | np.ndarray):
        return True
    from PIL import Image

    return isinstance(value, Image.Image)


def _encode(image: Image.Image) -> bytes:
    """Write an image as PNG, which loses nothing; thus it is labelled, limited and remembered as a file is."""
    buffer = io.BytesIO()
    make_upright_rgb(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _from_array(array: NDArray[Any]) -> Image.Image:
    """Make an image of an array: (height, width), (height, width, 1, 3 or 4), uint8 or fractions from 0 to 1."""
    from PIL import Image

    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {1, 3, 4}):
        fix = "; move the channels last: np.moveaxis(array, 0, -1)" if array.shape[:1] in {(1,), (3,)} else ""
        _refuse(
            f"an array must have the shape (height, width), or (height, width, 3 or 4), not {array.shape}{fix}"
        )
    if array.size == 0:
        _refuse(f"the array is empty, its shape is {array.shape}")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not 0 <= low <= high <= 1:  # false for NaN
            _refuse(
                f"fractions must lie between 0 and 1, these go from {low:g} to {high:g}; if they go up to 255, use"
                " array.astype(np.uint8)"
            )
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        _refuse(
            f"an array must hold uint8 (0 to 255) or fractions (0 to 1), not {array.dtype}; scale it to 0 to 255 and"
            " use array.astype(np.uint8)"
        )
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2:] == (1,) else array))


def _refuse(text: str) -> None:
    raise PictureError(status="unsupported_format", text=text)
