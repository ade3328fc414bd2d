"""What the service takes and promises: the shapes of its bodies and answers, in code and in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

MAX_BODY = 20_000_000  # bytes of a request
MAX_INPUTS = 16  # pictures of a request, and as many texts
MAX_TEXT = 20_000  # characters
# statuses of answers; a face that was not found is one: the whole picture is labelled all the same
ANSWERS = frozenset({"ok", "ok_first_frame", "no_face", "many_faces"})


class Answer(BaseModel):
    """The answer for one input."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "anna.jpg",
                "attributes": {"Age": "young adult", "Hair_Color": "brown"},
                "processing_time": 0.05,
                "error": None,
                "status": "ok",
                "scores": None,
            }
        }
    )

    id: str
    attributes: dict[str, str | None]
    processing_time: float
    error: str | None
    status: str
    scores: dict[str, dict[str, Any]] | None = None


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
    status: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in {
        400: "The request cannot be read.",
        401: "The key is missing or wrong.",
        408: "The request came too slowly.",
        413: "Too many bytes.",
        415: "Not a format of pictures that is read.",
        422: "A picture, text or field that cannot be used; status and detail say why.",
        503: "Too much to do, stopping, or something is wrong with the server: try again later.",
    }.items()
}

# a field may be left out, but a form has no null; and one text is a list of one
Picture = Annotated[UploadFile | SkipJsonSchema[None], File(description="A picture file.")]
Text = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"\S")] | SkipJsonSchema[None],
    Form(description="A text about it.", examples=["an elderly man with a white beard"]),
]
Several = Field(min_length=1, max_length=MAX_INPUTS)
Pictures = Annotated[
    Annotated[list[UploadFile], Several] | SkipJsonSchema[None], File(description="Picture files.")
]
Texts = Annotated[
    Annotated[list[Annotated[str, StringConstraints(max_length=MAX_TEXT)]], Several] | SkipJsonSchema[None],
    Form(description="Texts.", json_schema_extra={"type": ["array", "string"]}),
]
Scores = Annotated[bool, Form(description="Add scores and probabilities.")]


def one_of(*fields: str) -> dict[str, Any]:
    """Make the addition to OpenAPI that asks for one of these fields of the form at least."""
    schema = {"anyOf": [{"required": [field]} for field in fields]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
