"""Use a picture encoder of your own: every stage accepts an object that follows the protocol Encoder.

python examples/other_clip.py [CONFIG]
"""

import sys

import numpy as np

import facestats as fs


class ColourEncoder:
    """A very simple encoder: the mean colour of a picture, and the mean of the colours that a text names."""

    name = "colours@1"
    dim = 3
    input_side = 32
    logit_scale = 20.0
    colours = {"black": (20, 20, 20), "brown": (90, 60, 40), "blonde": (220, 190, 130), "red": (170, 60, 30)}

    def prepare(self, image):
        """Shrink a picture to 32 x 32 pixels."""
        return np.asarray(image.resize((32, 32)), dtype=np.uint8)

    def encode_images(self, pixels):
        """Return mean colours, (n, 3), scaled to length one."""
        return self._unit(pixels.astype(np.float32).mean(axis=(1, 2)))

    def encode_texts(self, texts):
        """Return the colours that texts name, scaled to length one; grey if a text names none."""
        named = [
            [v for word, v in self.colours.items() if word in text] or [(128, 128, 128)] for text in texts
        ]
        return self._unit(np.array([np.mean(colours, axis=0) for colours in named], dtype=np.float32))

    @staticmethod
    def _unit(vectors):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main(config: str | None = None) -> None:
    """Embed ten faces of a finished run with this encoder, and label their hair colour."""
    cfg = fs.load_config(config)
    store, encoder = fs.Store(cfg.data_dir), ColourEncoder()
    faces = store.read("faces").drop_nulls("crop").head(10)
    vectors = fs.embed_faces(faces, encoder, store.crops_dir)
    hair = {"hair_color": cfg.attributes["hair_color"]}
    print(fs.label_attributes(vectors, encoder, hair).select("image_id", "hair_color", "hair_color_score"))


if __name__ == "__main__":
    main(*sys.argv[1:])
