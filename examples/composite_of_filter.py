"""Average those faces of a finished run that meet some conditions.

python examples/composite_of_filter.py average.png gender=female age=elderly [--config CONFIG]
"""

import argparse

import facestats as fs


def main(arguments: list[str] | None = None) -> None:
    """Save the warped average as a PNG that lists its members; with too few faces, an error gives the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out")
    parser.add_argument("conditions", nargs="*", help="attribute=option")
    parser.add_argument("--config")
    given = parser.parse_args(arguments)
    store = fs.Store(fs.load_config(given.config).data_dir)
    conditions = dict(condition.split("=", 1) for condition in given.conditions)
    composite = fs.average_faces(
        store.read("master"), store.crops_dir, method="warp", where=conditions, min_faces=3
    )
    composite.save(given.out)
    print(f"{given.out}: average of {composite.n} faces")


if __name__ == "__main__":
    main()
