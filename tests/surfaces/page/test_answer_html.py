from facestats.surfaces.page.answer_html import draw_answer
from facestats.surfaces.pipeline.answers import Attributes, CharacterResult, Label


def test_nothing_in_an_answer_becomes_html():
    bad = "<img src=x onerror=alert(1)>"
    label = Label(bad, 1.0, "image", conflict=True, image=bad, text=bad, probs={bad: 1.0})
    shown = draw_answer(CharacterResult(bad, Attributes({"age": label}, {"age": bad}), "corrupt", bad, 0.1))
    assert "<img" not in shown
    assert shown.count("&lt;img") + shown.count("&lt;Img") >= 6
