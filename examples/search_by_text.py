"""Find the faces of a finished run that are most similar to a sentence.

python examples/search_by_text.py "a person with red hair" [CONFIG]
"""

import sys

import facestats as fs


def main(sentence: str, config: str | None = None) -> None:
    """Sort the stored vectors by their similarity to the vector of the sentence; no picture is opened."""
    cfg = fs.load_config(config)
    store = fs.Store(cfg.data_dir)
    query = fs.models.clip(cfg.embeddings).encode_texts([sentence])[0]
    print(fs.search_faces(store.read("embeddings"), query, top=10))


if __name__ == "__main__":
    main(*sys.argv[1:])
