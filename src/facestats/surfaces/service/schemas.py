"""What the service accepts and returns: the forms of its requests and answers, in code and in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

MAX_BODY = 20_000_000  # bytes in one request
MAX_INPUTS = 16  # pictures in one request, and as many texts
MAX_TEXT = 20_000  # characters in one text
# statuses of answers; no_face and many_faces are among them, because the whole picture is labelled all the same
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
                "model": {"picture": "ViT-B-32-quickgelu/openai@1a2b3c4d5e6f"},
                "warning": None,
                "status": "ok",
                "scores": None,
            }
        }
    )

    id: str
    attributes: dict[str, str | None]
    processing_time: float
    error: str | None
    model: dict[str, str] = Field(description="Which model saw the picture, and which one read the text.")
    warning: str | None = Field(description="Why the labels cannot be trusted: toy models gave them.")
    status: str
    scores: dict[str, dict[str, Any]] | None = None


class Problem(BaseModel):
    """The reason why there is no answer."""

    detail: str
    status: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in {
        400: "The request cannot be read.",
        401: "The key is missing or wrong.",
        408: "The request did not arrive in time.",
        413: "The request has too many bytes.",
        415: "The file is not in a picture format that can be read.",
        422: "A picture, text or field cannot be used; status and detail say why.",
        503: "The server is busy, is stopping, or has a fault; try again later.",
    }.items()
}

# a field can be left out, but a form cannot hold null; a single text counts as a list of one
Picture = Annotated[UploadFile | SkipJsonSchema[None], File(description="A picture file.")]
Text = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"\S")] | SkipJsonSchema[None],
    Form(description="A text about the person.", examples=["an elderly man with a white beard"]),
]
_UpToMax = Field(min_length=1, max_length=MAX_INPUTS)
Pictures = Annotated[
    Annotated[list[UploadFile], _UpToMax] | SkipJsonSchema[None], File(description="Picture files, up to 16.")
]
Texts = Annotated[
    Annotated[list[Annotated[str, StringConstraints(max_length=MAX_TEXT)]], _UpToMax] | SkipJsonSchema[None],
    Form(description="Texts, up to 16.", json_schema_extra={"type": ["array", "string"]}),
]
Scores = Annotated[bool, Form(description="Add scores, sources and probabilities to the answer.")]


def any_of(*fields: str) -> dict[str, Any]:
    """Write for OpenAPI that a form needs at least one of these fields."""
    schema = {"anyOf": [{"required": [field]} for field in fields]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
