"""The web page: label one character at a time, or look at the gallery of a run."""

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
from facestats.surfaces.page.answer_html import draw_answer, draw_error, draw_warning, name_attribute
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

MAX_TEXT = 5_000  # characters in a text
ALIGNED = ("ok", "ok_first_frame")
MAX_WAITING = 32  # requests in the queue; further ones are refused
DELETE_UPLOADS = (600, 3600)  # seconds: how often uploads are deleted, and how old they must be
NOTE = "Labels are perceived attributes: what a model makes of a picture, not what a person is."
START = "<p>Add a picture, a text about the person, or both. Then press <b>Label</b>.</p>"
AVERAGE = "Average face"
PREVIEW = """async file => {
    if (!file) return null;
    const picture = new Image();
    picture.src = file.url;
    return picture.decode().then(() => file, () => null);
}"""
THEME = gr.themes.Default(
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
        Labels what is put in; its configuration names the run that the gallery shows.

    Returns
    -------
    The page, not yet served.
    """
    with gr.Blocks(title="facestats", analytics_enabled=False, delete_cache=DELETE_UPLOADS) as page:
        gr.Markdown(f"# facestats\n{NOTE}")
        if pipeline.warning:
            gr.HTML(draw_warning(pipeline.warning), elem_id="warning")
        with gr.Tab("One character"):
            _build_character(pipeline)
        with gr.Tab("Gallery"):
            gallery = Gallery.open(pipeline.config)
            if gallery is None:
                command = pipeline.config.command("run")
                gr.Markdown(
                    f"There is no finished run to show yet. Type `{command}`; then start this page again.",
                    elem_id="no-run",
                )
            else:
                _build_gallery(page, gallery, pipeline)
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=1, api_open=False)


def launch(
    pipeline: CharacterPipeline,
    *,
    host: str,
    port: int | None,
    password: str | None = None,
    wait: bool = True,
) -> gr.Blocks:
    """Serve the page until it is stopped.

    Parameters
    ----------
    pipeline
        See :func:`create_page`.
    host, port
        Where to listen; if the port is None, any free port.
    password
        Password of the user ``facestats``; None lets everybody in.
    wait
        Whether to return only once the page is stopped.

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
        theme=THEME,
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=[],
        run_history=False,  # pictures of people must not stay in a browser
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
    """Label what was put in.

    Parameters
    ----------
    pipeline
        Labels it.
    content
        Bytes of a picture file, or None.
    text
        A text about the person; may be empty.

    Returns
    -------
    The aligned face with its landmarks (None without a face), the answer as HTML, and the answer as JSON.

    Raises
    ------
    gradio.Error
        If there is nothing to label, or a model is missing; the text is a sentence for the page.
    """
    said = _clean(text)
    if content is None and not said:
        msg = "Add a picture, a text, or both."
        raise _refusal(msg)
    with _errors_as_messages():
        faces: list[Image.Image] = []
        (result,) = pipeline.process_batch(
            [Item("character", content, said or None)],
            on_face=lambda _, crop, points: faces.append(draw_landmarks(crop, points)),
        )
        if content is not None and result.cached and result.status in ALIGNED:  # the cache holds no faces
            faces += filter(None, [pipeline.labeller.show_face(content)])
    answer = json.dumps(result.to_dict(scores=True), ensure_ascii=False, indent=2)
    return faces[-1] if faces else None, draw_answer(result), answer


def _clean(text: str | None) -> str:
    """Strip a text, and replace what UTF-8 cannot hold by `?`; a text that is too long is refused."""
    said = (text or "").encode("utf-8", "replace").decode().strip()
    if len(said) > MAX_TEXT:
        msg = f"A text may have at most {MAX_TEXT:,} characters here; this one has {len(said):,}. Shorten it."
        raise _refusal(msg)
    return said


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """Turn an error into a sentence on the page."""
    try:
        yield
    except gr.Error:
        raise
    except (ModelError, ValueError) as error:
        raise _refusal(str(error)) from error
    except OSError as error:  # its text may name folders of the server
        log.exception("the page could not answer")
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        msg = f"A file on the server cannot be read or written ({why}); run `facestats doctor` there."
        raise _refusal(msg) from error
    except Exception as error:  # models raise anything; the log gets the traceback
        log.exception("the page could not answer")
        msg = (
            f"The server failed on this input ({type(error).__name__}); its log has the details. Other inputs are not"
            " affected."
        )
        raise _refusal(msg) from error


def _refusal(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)


def _build_character(pipeline: CharacterPipeline) -> None:
    with gr.Row():
        with gr.Column():
            upload = gr.File(
                label="Picture",
                file_types=["image", ".heic", ".heif"],
                type="binary",
                height=140,
                elem_id="picture",
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

    # the browser shows the file itself, because the server decodes pictures only in worker processes
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
                info="Press Enter to sort the faces",
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
            count = gr.Markdown(elem_id="count")
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

    def update(words: str | None, *values: str) -> tuple[Any, ...]:
        with _errors_as_messages():
            chosen, sentence = find(words, values)
            no_average = gr.Image(None, label=AVERAGE)
            return gallery.thumbnails(chosen), sentence, gallery.draw_map(chosen), no_average

    def show_average(words: str | None, *values: str) -> Any:
        with _errors_as_messages():
            chosen, _ = find(words, values)
            return gr.Image(gallery.average(chosen), label=f"Average of {chosen.height:,} faces")

    changes = [page.load, query.submit, *(dropdown.input for dropdown in filters)]
    outputs = [faces, count, plot, average]
    gr.on(changes, update, [query, *filters], outputs, trigger_mode="always_last", api_visibility="private")
    mean.click(show_average, [query, *filters], average, api_visibility="private")
