"""Label every picture in a folder and below it, and print one line of JSON for each.

python examples/label_folder.py FOLDER [CONFIG]
"""

import sys

import facestats as fs
from facestats.surfaces.cli.extract import list_directory


def main(folder: str, config: str | None = None) -> None:
    """Label in batches of 64; a picture that fails is in the output with its error."""
    pipeline = fs.CharacterPipeline(config)
    items = list_directory(folder)
    for start in range(0, len(items), 64):
        for result in pipeline.process_batch(items[start : start + 64]):
            print(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
