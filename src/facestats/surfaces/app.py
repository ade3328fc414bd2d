"""The web page: one character at a time, and the gallery of a run; it computes nothing of its own."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import gradio as gr

import facestats as fs
from facestats.core.protocols import ModelError
from facestats.surfaces.gallery import Gallery
from facestats.surfaces.pipeline import Item

if TYPE_CHECKING:
    from PIL import Image

    from facestats.surfaces.pipeline import CharacterPipeline
    from facestats.surfaces.results import CharacterResult

MAX_UPLOAD = "20mb"
MAX_TEXT = 5_000
NOTE = "Labels are perceived attributes: what a model makes of a picture, not what a person is."
NO_RUN = "There is no finished run yet: `make demo`, or `facestats run --config ...`, then reload this page."


def create_page(pipeline: CharacterPipeline) -> gr.Blocks:
    """Make the page, for ``launch``.

    Parameters
    ----------
    pipeline
        Labels what is put in; its configuration says which run the gallery shows.
    """
    with gr.Blocks(title="facestats", analytics_enabled=False) as page:
        gr.Markdown(f"# facestats\n{NOTE}")
        with gr.Tab("One character"):
            _build_character(pipeline)
        with gr.Tab("Gallery"):
            gallery = Gallery.open(pipeline.config)
            if gallery is None:
                gr.Markdown(NO_RUN)
            else:
                _build_gallery(gallery, pipeline)
    return page


def launch(pipeline: CharacterPipeline, *, host: str, port: int, password: str | None = None) -> None:
    """Serve the page until stopped.

    Parameters
    ----------
    pipeline
        See :func:`create_page`.
    host, port
        Where to listen.
    password
        Of the user ``facestats``; None lets everybody in.
    """
    auth = ("facestats", password) if password else None
    page = create_page(pipeline).queue(max_size=32, default_concurrency_limit=1)
    page.launch(
        server_name=host, server_port=port, auth=auth, max_file_size=MAX_UPLOAD, share=False, quiet=True
    )


def label_character(
    pipeline: CharacterPipeline, content: bytes | None, text: str
) -> tuple[Image.Image | None, str, list[dict[str, float]], str]:
    """Label what was put in: the aligned face, a sentence on what came of it, bars per attribute, and JSON.

    Raises
    ------
    gradio.Error
        If there is nothing to label, or a model is missing: a sentence for the page.
    """
    said = text.strip()
    if content is None and not said:
        msg = "Put in a picture, a text, or both."
        raise gr.Error(msg)
    if len(said) > MAX_TEXT:
        msg = f"A text has at most {MAX_TEXT} characters here; this one has {len(said)}."
        raise gr.Error(msg)
    try:
        (result,) = pipeline.process_batch([Item("character", content, said or None)])
        face = None if content is None else pipeline.labeller.show_face(content)
    except ModelError as error:
        raise gr.Error(str(error)) from error
    bars = [dict(result.attributes[name].probs) for name in pipeline.config.attributes]
    answer = json.dumps(result.to_dict(scores=True), ensure_ascii=False, indent=2)
    return face, _summary(result), bars, answer


def _summary(result: CharacterResult) -> str:
    """Say in Markdown what was found, and where picture and text disagree."""
    lines = [f"**{html.escape(result.error)}**"] if result.error else []
    if any(label.value for label in result.attributes.labels.values()):
        found = [f"{title}: **{value}**" for title, value in result.attributes.to_dict().items() if value]
        lines.append(" · ".join(found))
    conflicts = [
        f"- {result.attributes.titles[name]}: the picture says **{label.image}**, the text **{label.text}**"
        for name, label in result.attributes.labels.items()
        if label.conflict
    ]
    lines += ["Picture and text disagree:\n\n" + "\n".join(conflicts)] if conflicts else []
    return "\n\n".join(lines)


def _build_character(pipeline: CharacterPipeline) -> None:
    titles = [attribute.title for attribute in pipeline.config.attributes.values()]
    with gr.Row():
        with gr.Column():
            upload = gr.File(label="Picture", file_types=["image"], type="binary", elem_id="picture")
            text = gr.Textbox(label="Text", lines=3, max_length=MAX_TEXT, elem_id="text")
            button = gr.Button("Label", variant="primary", elem_id="label")
        face = gr.Image(label="Aligned face", interactive=False, elem_id="face", height=360)
    summary = gr.Markdown(elem_id="summary")
    with gr.Row(equal_height=False):
        bars = [gr.Label(label=title, num_top_classes=8, min_width=220) for title in titles]
    answer = gr.Code(label="JSON", language="json", elem_id="json")

    def work(content: bytes | None, said: str) -> tuple[Any, ...]:
        shown, words, probs, line = label_character(pipeline, content, said or "")
        return (shown, words, *[p or None for p in probs], line)

    button.click(work, [upload, text], [face, summary, *bars, answer], api_visibility="private")


def _build_gallery(gallery: Gallery, pipeline: CharacterPipeline) -> None:
    attributes = pipeline.config.attributes
    with gr.Row():
        filters = [
            gr.Dropdown(["", *attribute.options], value="", label=attribute.title, min_width=120)
            for attribute in attributes.values()
        ]
    with gr.Row():
        query = gr.Textbox(label="Search by text", placeholder="a person laughing", elem_id="query")
        show = gr.Button("Show", variant="primary", elem_id="show")
        mean = gr.Button("Average face of the selection", elem_id="average")
    said = gr.Markdown(elem_id="count")
    with gr.Row():
        faces = gr.Gallery(label="Faces", columns=6, height=420, elem_id="faces")
        average = gr.Image(label="Average", interactive=False, elem_id="mean", height=420)
    plot = gr.Plot(label="Map")

    def rows(values: tuple[str, ...], words: str) -> Any:
        chosen = gallery.choose(dict(zip(attributes, values, strict=True)))
        return (
            gallery.search(chosen, words, encoder=pipeline.encoder)
            if words.strip() and chosen.height
            else chosen
        )

    def look(words: str, *values: str) -> tuple[Any, ...]:
        chosen = rows(values, words or "")
        where = gallery.mark(chosen)
        axes = fs.plots.face_map(where, color="selection")
        return (
            gallery.thumbnails(chosen),
            f"{chosen.height:,} of {gallery.master.height:,} faces",
            axes.figure,
        )

    def blend(words: str, *values: str) -> Any:
        try:
            return gallery.average(rows(values, words or ""))
        except ValueError as error:
            raise gr.Error(str(error)) from error

    show.click(look, [query, *filters], [faces, said, plot], api_visibility="private")
    query.submit(look, [query, *filters], [faces, said, plot], api_visibility="private")
    mean.click(blend, [query, *filters], average, api_visibility="private")
