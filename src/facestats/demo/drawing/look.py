"""The traits of a drawn character, and the scene of one picture of it: all numbers that drawing needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.demo.drawing.canvas import mix, shade

if TYPE_CHECKING:
    from collections.abc import Mapping

SKIN = {  # lightest and darkest usual tone; neighbouring groups overlap
    "Asian": ((250, 224, 190), (220, 178, 134)),
    "African": ((156, 104, 72), (84, 54, 40)),
    "Caucasian": ((254, 224, 206), (236, 190, 166)),
    "Hispanic": ((226, 166, 120), (182, 118, 80)),
    "Middle Eastern": ((222, 184, 142), (176, 136, 98)),
}
HAIR = {
    "black": ((24, 21, 24), (40, 34, 34)),
    "brown": ((108, 66, 36), (84, 50, 28)),
    "blonde": ((232, 196, 112), (214, 172, 88)),
    "red": ((196, 84, 30), (164, 58, 24)),
    "white": ((246, 246, 246), (232, 233, 236)),
    "gray": ((150, 152, 157), (122, 124, 130)),
}
DYES = ((46, 96, 226), (30, 168, 92), (240, 84, 158), (138, 66, 206), (20, 178, 190), (236, 60, 110))
EYES = {
    "brown": (86, 48, 22),
    "blue": (52, 124, 222),
    "green": (58, 152, 72),
    "gray": (150, 158, 164),
    "hazel": (134, 108, 44),
    "amber": (234, 158, 26),
}
# shoulder, bust, waist and hip half widths, arm and neck widths, in interpupillary distances
BUILD = {
    "slim": (1.56, 1.08, 0.92, 1.00, 0.38, 0.40),
    "average": (1.98, 1.42, 1.30, 1.40, 0.56, 0.49),
    "muscular": (2.52, 1.86, 1.38, 1.42, 0.88, 0.70),
    "curvy": (1.82, 1.54, 1.00, 1.66, 0.48, 0.43),
    "heavy": (2.36, 1.98, 2.20, 2.36, 0.86, 0.64),
}
# youth 0..1 rounds the face and enlarges the eyes; wear 0..1 draws lines of age; bulk scales the body
AGE = {
    "child": (1.0, 0.0, 0.68),
    "teen": (0.55, 0.0, 0.88),
    "young adult": (0.08, 0.0, 1.0),
    "middle-aged": (0.0, 0.42, 1.02),
    "elderly": (0.0, 1.0, 0.97),
}
# eye height, tilt, fold, nose width, nose length, lips, brow thickness, cheek width, brow arch
TRAITS = {
    "Asian": (0.84, 0.050, 1.0, 0.97, 0.94, 0.95, 0.90, 1.05, 0.7),
    "African": (1.00, 0.010, 0.0, 1.34, 0.97, 1.48, 1.00, 1.00, 1.0),
    "Caucasian": (1.00, 0.000, 0.0, 0.86, 1.03, 0.84, 0.90, 0.97, 1.0),
    "Hispanic": (1.03, 0.020, 0.0, 1.06, 1.00, 1.22, 1.10, 1.00, 1.1),
    "Middle Eastern": (1.02, 0.012, 0.0, 0.98, 1.10, 0.98, 1.48, 0.96, 0.9),
}
MASCULINITY = {"male": 1.0, "non-binary": 0.5, "female": 0.0}


@dataclass(frozen=True)
class Scene:
    """How one picture of a character is taken; angles in radians, sizes in pixels."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    smile: float = 0.2
    mouth_open: float = 0.0
    ipd: float = 78.0
    centre: tuple[float, float] = (256.0, 188.0)
    light: float = 0.6
    warmth: float = 0.0
    exposure: float = 1.0
    noise: float = 2.0
    quality: int = 92
    backdrop: int = 0
    backdrop_seed: int = 0
    gaze: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Look:
    """A character's drawn traits; lengths in interpupillary distances."""

    record: Mapping[str, Any]
    skin: np.ndarray
    hair: np.ndarray
    streak: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    youth: float
    wear: float
    bulk: float
    masc: float
    traits: tuple[float, ...]
    build: tuple[float, ...]
    jaw: float
    fullness: float
    chin: float
    iris_radius: float
    part: float
    fringe: int
    side: int
    volume: float
    beard: int
    extras: Mapping[str, float] = field(default_factory=dict)


def draw_scene(rng: np.random.Generator, *, style: str = "train") -> Scene:
    """Choose at random what belongs to one picture: pose, expression, light, backdrop, distance, noise.

    Parameters
    ----------
    rng
        Source of chance.
    style
        "train" or "eval"; the second has other backdrops, light and distances.

    Returns
    -------
    Scene
        The scene.
    """
    held_out = style == "eval"
    turn = rng.uniform(-1, 1, 3) * [0.20, 0.10, 0.11]
    ipd = 77.0 * (rng.uniform(0.97, 1.10) if held_out else rng.uniform(0.94, 1.08))
    return Scene(
        yaw=turn[0],
        pitch=turn[1],
        roll=turn[2],
        smile=rng.uniform(-0.15, 1.0),
        mouth_open=float(rng.random() < 0.3) * rng.uniform(0.4, 1.0),
        ipd=ipd,
        centre=(256 + rng.uniform(-16, 16), 186 + (ipd - 77) * 1.2 + rng.uniform(-8, 8)),
        light=rng.uniform(-1, 1),
        warmth=rng.uniform(-1, 1) * (0.8 if held_out else 1.0),
        exposure=rng.uniform(0.93, 1.05) if held_out else rng.uniform(0.92, 1.07),
        noise=rng.uniform(1.0, 4.0) if held_out else rng.uniform(0.5, 5.0),
        quality=int(rng.integers(80, 96)),
        backdrop=int(rng.choice([1, 3, 5]) if held_out else rng.choice([0, 1, 2, 4])),
        backdrop_seed=int(rng.integers(2**31)),
        gaze=(rng.uniform(-1, 1), rng.uniform(-0.6, 0.6)),
    )


def _hair_colors(record: Mapping[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Choose hair, streak and brow colours; bald characters have brows too."""
    name = record["hair_color"]
    if name == "colorful":
        first, second = rng.choice(len(DYES), 2, replace=False)
        hair = np.clip(np.asarray(DYES[first], np.float32) + rng.normal(0, 8, 3), 0, 255)
        streak = np.asarray(DYES[second], np.float32) if rng.random() < 0.4 else shade(hair, 1.25)
        return hair, streak, np.asarray(HAIR["brown"][1], np.float32) * rng.uniform(0.5, 1.0)
    name = name or str(rng.choice(["black", "brown", "gray"]))
    hair = mix(*HAIR[name], rng.random()) + rng.normal(0, 2.5, 3).astype(np.float32)
    brow = mix(hair, (70, 50, 40), 0.35) if name in {"white", "blonde", "gray"} else hair * 0.72
    return hair, shade(hair, 1.16), brow


def draw_look(record: Mapping[str, Any], rng: np.random.Generator) -> Look:
    """Choose the traits of one character at random, within what its record says.

    Parameters
    ----------
    record
        The option of each of the nine attributes, None where it cannot be seen.
    rng
        Source of chance.

    Returns
    -------
    Look
        The character's traits.
    """
    youth, wear, bulk = AGE[record["age"]]
    youth = float(np.clip(youth + rng.uniform(-0.10, 0.10), 0, 1.05))
    wear = float(np.clip(wear + rng.uniform(-0.08, 0.08), 0, 1)) if wear else 0.0
    masc = MASCULINITY[record["gender"]] + rng.uniform(-0.12, 0.12)
    skin = mix(*SKIN[record["ethnicity"]], rng.beta(1.6, 1.6)) + rng.normal(0, 2.0, 3).astype(np.float32)
    hair, streak, brow = _hair_colors(record, rng)
    spread = np.array([0.04, 0.012, 0.0, 0.05, 0.03, 0.07, 0.07, 0.015, 0.1])
    if wear > 0.7:
        brow = mix(brow, (196, 194, 192), 0.45)
    traits = np.asarray(TRAITS[record["ethnicity"]]) + rng.uniform(-1, 1, 9) * spread
    build = np.asarray(BUILD[record["body_type"]]) * rng.uniform(0.96, 1.04, 6)
    grown = record["gender"] == "male" and youth < 0.3
    return Look(
        record=record,
        skin=np.clip(skin, 0, 255),
        hair=np.clip(hair, 0, 255),
        streak=streak,
        brow=brow,
        iris=np.clip(
            np.asarray(EYES[record["eye_color"]]) * rng.uniform(0.92, 1.07) + rng.normal(0, 3, 3), 0, 255
        ),
        youth=youth,
        wear=wear,
        bulk=bulk * (1 + 0.05 * (masc - 0.5)),
        masc=masc,
        traits=tuple(float(t) for t in traits),
        build=tuple(float(b) for b in build),
        jaw=0.90 + 0.12 * masc + rng.uniform(-0.02, 0.02) - 0.02 * youth,
        fullness={"heavy": 1.0, "slim": -0.45}.get(str(record["body_type"]), 0.0) + rng.uniform(-0.15, 0.15),
        chin=1.56 + 0.09 * masc - 0.32 * youth + rng.uniform(-0.02, 0.02),
        iris_radius=0.150 * (1 + 0.20 * youth) * rng.uniform(0.98, 1.03),
        part=rng.uniform(-0.45, 0.45),
        fringe=int(rng.integers(3)),
        side=int(rng.choice([-1, 1])),
        volume=rng.uniform(0.9, 1.1),
        beard=int(rng.choice([0, 1, 2, 3], p=[0.35, 0.25, 0.25, 0.15])) if grown else 0,
        extras={
            "freckles": rng.random(),
            "glasses": rng.random(),
            "earring": rng.random(),
            "cloth": rng.random(),
        },
    )
