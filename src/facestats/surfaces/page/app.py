"""The web page: one character at a time, and the gallery of a run; it computes nothing of its own."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.middleware import Middleware

from facestats.core.protocols import ModelError
from facestats.surfaces.page.answer_html import draw_answer, draw_error, name_attribute
from facestats.surfaces.page.gallery import Gallery
from facestats.surfaces.page.request_guard import MAX_UPLOAD, Guard
from facestats.surfaces.pipeline.landmark_overlay import draw_landmarks
from facestats.surfaces.pipeline.pipeline import Item

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from PIL import Image

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

log = logging.getLogger(__name__)

MAX_TEXT = 5_000  # characters
ALIGNED = ("ok", "ok_first_frame")
WAITING = 32  # requests that may wait; whoever comes then is told to come again
KEPT = (600, 3600)  # seconds: how often uploads are cleared away, and how old they must be
NOTE = "Labels are perceived attributes: what a model makes of a picture, not what a person is."
START = "<p>Put in a picture, a text about the person, or both. Then press <b>Label</b>.</p>"
AVERAGE = "Average face"
PREVIEW = """async file => {
    if (!file) return null;
    const picture = new Image();
    picture.src = file.url;
    return picture.decode().then(() => file, () => null);
}"""
NO_RUN = (
    "There is no finished run to show yet. Type `make demo` for drawn characters, or `make run` for your own"
    " pictures (`facestats run --config ...` for other settings); then start this page again."
)
LOOK = gr.themes.Default(
    primary_hue="blue",
    neutral_hue="slate",
    font=("Segoe UI", "Helvetica Neue", "Arial", "sans-serif"),
    font_mono=("Menlo", "Consolas", "monospace"),
)


def create_page(pipeline: CharacterPipeline) -> gr.Blocks:
    """Make the page, for :func:`launch`.

    Parameters
    ----------
    pipeline
        Labels what is put in; its configuration says which run the gallery shows.
    """
    with gr.Blocks(title="facestats", analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(f"# facestats\n{NOTE}")
        with gr.Tab("One character"):
            _build_character(pipeline)
        with gr.Tab("Gallery"):
            gallery = Gallery.open(pipeline.config)
            if gallery is None:
                gr.Markdown(NO_RUN, elem_id="no-run")
            else:
                _build_gallery(page, gallery, pipeline)
    return page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)


def launch(
    pipeline: CharacterPipeline,
    *,
    host: str,
    port: int | None,
    password: str | None = None,
    wait: bool = True,
) -> gr.Blocks:
    """Serve the page until stopped.

    Parameters
    ----------
    pipeline
        See :func:`create_page`.
    host, port
        Where to listen; any free port where it is None.
    password
        Of the user ``facestats``; None lets everybody in.
    wait
        Whether to return only when the page is stopped.

    Returns
    -------
    The page; ``local_url`` is its address.
    """
    page = create_page(pipeline)
    page.launch(
        server_name=host,
        server_port=port,
        auth=("facestats", password) if password else None,
        max_file_size=MAX_UPLOAD,
        app_kwargs={"middleware": [Middleware(Guard)], "openapi_url": None},
        theme=LOOK,
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=[],
        run_history=False,  # pictures of people do not stay in a browser
        share=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        quiet=True,
        prevent_thread_lock=not wait,
    )
    return page


def label_character(
    pipeline: CharacterPipeline, content: bytes | None, text: str
) -> tuple[Image.Image | None, str, str]:
    """Label what was put in: the aligned face, the answer as HTML, and as JSON.

    Raises
    ------
    gradio.Error
        If there is nothing to label, or a model is missing: a sentence for the page.
    """
    said = _clean(text)
    if content is None and not said:
        msg = "Put in a picture, a text, or both."
        raise _refusal(msg)
    with _in_words():
        faces: list[Image.Image] = []
        (result,) = pipeline.process_batch(
            [Item("character", content, said or None)],
            on_face=lambda _, crop, points: faces.append(draw_landmarks(crop, points)),
        )
        if content is not None and result.cached and result.status in ALIGNED:  # the cache holds no pictures
            faces += filter(None, [pipeline.labeller.show_face(content)])
    answer = json.dumps(result.to_dict(scores=True), ensure_ascii=False, indent=2)
    return faces[-1] if faces else None, draw_answer(result), answer


def _clean(text: str | None) -> str:
    """Strip a text, and put ? for what UTF-8 cannot hold; one that is too long is refused."""
    said = (text or "").encode("utf-8", "replace").decode().strip()
    if len(said) > MAX_TEXT:
        msg = f"A text has at most {MAX_TEXT:,} characters here; this one has {len(said):,}. Shorten it."
        raise _refusal(msg)
    return said


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what can go wrong into a sentence on the page."""
    try:
        yield
    except gr.Error:
        raise
    except (ModelError, ValueError) as error:
        raise _refusal(str(error)) from error
    except OSError as error:  # its text would name folders of the server
        log.exception("the page could not answer")
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        msg = f"A file on the server cannot be read or written ({why}); run `facestats doctor` there."
        raise _refusal(msg) from error
    except Exception as error:  # whatever a model raises is a sentence on the page, and a trace in the log
        log.exception("the page could not answer")
        msg = (
            f"The server failed on this ({type(error).__name__}); its log says why. Others are not affected."
        )
        raise _refusal(msg) from error


def _refusal(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)


def _build_character(pipeline: CharacterPipeline) -> None:
    with gr.Row():
        with gr.Column():
            upload = gr.File(
                label="Picture", file_types=["image"], type="binary", height=140, elem_id="picture"
            )
            text = gr.Textbox(
                label="Text",
                placeholder="an elderly woman with red hair",
                lines=3,
                max_length=MAX_TEXT,
                elem_id="text",
            )
            button = gr.Button("Label", variant="primary", elem_id="label")
        seen = gr.Image(
            label="Your picture",
            buttons=["fullscreen"],
            interactive=False,
            elem_id="seen",
            height=360,
        )
        face = gr.Image(
            label="Aligned face with landmarks",
            buttons=["download", "fullscreen"],
            interactive=False,
            elem_id="face",
            height=360,
        )
    summary = gr.HTML(START, elem_id="summary")
    with gr.Accordion("The answer as JSON", open=False, elem_id="more"):
        answer = gr.Code(language="json", show_label=False, max_lines=30, elem_id="json")

    def work(content: bytes | None, said: str | None) -> tuple[Any, ...]:
        try:
            return label_character(pipeline, content, said or "")
        except gr.Error as error:
            return None, draw_error(error.message), ""

    # the browser shows its own file: the server decodes pictures in workers only
    upload.change(None, upload, seen, js=PREVIEW, api_visibility="private")
    gr.on(
        [button.click, text.submit], work, [upload, text], [face, summary, answer], api_visibility="private"
    )


def _build_gallery(page: gr.Blocks, gallery: Gallery, pipeline: CharacterPipeline) -> None:
    attributes = {name: a for name, a in pipeline.config.attributes.items() if name in gallery.master.columns}
    with gr.Row():
        with gr.Column(scale=1, min_width=220):
            query = gr.Textbox(
                label="Search by text",
                placeholder="a person laughing",
                info="Enter ranks the faces",
                max_length=MAX_TEXT,
                elem_id="query",
            )
            filters = [
                gr.Dropdown(
                    [("any", ""), *attribute.options],
                    value="",
                    label=name_attribute(attribute.title),
                    elem_id=f"filter-{name}",
                )
                for name, attribute in attributes.items()
            ]
        with gr.Column(scale=4):
            said = gr.Markdown(elem_id="count")
            faces = gr.Gallery(
                show_label=False, columns=8, height=400, format="jpeg", buttons=[], elem_id="faces"
            )
            with gr.Row():
                plot = gr.Plot(label="Map", elem_id="map")
                with gr.Column():
                    mean = gr.Button("Average these faces", variant="primary", elem_id="average")
                    average = gr.Image(
                        label=AVERAGE,
                        buttons=["download", "fullscreen"],
                        interactive=False,
                        elem_id="mean",
                        height=400,
                    )

    def find(words: str | None, values: tuple[str, ...]) -> tuple[pl.DataFrame, str]:
        conditions = dict(zip(attributes, values, strict=True))
        return gallery.find(conditions, _clean(words), encoder=pipeline.encoder)

    def look(words: str | None, *values: str) -> tuple[Any, ...]:
        with _in_words():
            chosen, sentence = find(words, values)
            no_average = gr.Image(None, label=AVERAGE)
            return gallery.thumbnails(chosen), sentence, gallery.draw_map(chosen), no_average

    def blend(words: str | None, *values: str) -> Any:
        with _in_words():
            chosen, _ = find(words, values)
            return gr.Image(gallery.average(chosen), label=f"Average of {chosen.height:,} faces")

    changes = [page.load, query.submit, *(chooser.input for chooser in filters)]
    shown = [faces, said, plot, average]
    gr.on(changes, look, [query, *filters], shown, trigger_mode="always_last", api_visibility="private")
    mean.click(blend, [query, *filters], average, api_visibility="private")
