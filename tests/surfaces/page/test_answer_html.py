from facestats.surfaces.page.answer_html import draw_answer
from facestats.surfaces.pipeline.answers import Attributes, CharacterResult, Label


def test_nothing_in_an_answer_becomes_html():
    bad = "<img src=x onerror=alert(1)>"
    label = Label(bad, 1.0, "image", conflict=True, image=bad, text=bad, probs={bad: 1.0})
    shown = draw_answer(CharacterResult(bad, Attributes({"age": label}, {"age": bad}), "corrupt", bad, 0.1))
    assert "<img" not in shown
    assert shown.count("&lt;img") + shown.count("&lt;Img") >= 6


def test_a_warning_comes_first_and_the_models_last():
    labels = Attributes({"age": Label("child", 0.9, "image")}, {"age": "Age"})
    result = CharacterResult(
        "a", labels, "ok", None, 0.1, model={"picture": "toy<1>"}, warning="only <drawn> faces"
    )
    shown = draw_answer(result)
    assert shown.startswith('<p class="fs-warning">only &lt;drawn&gt; faces</p>')
    assert shown.endswith("Answered by picture: toy&lt;1&gt;</p>")


def test_labels_below_the_threshold_are_not_said_to_be_missing_from_the_text():
    labels = Attributes({"age": Label(None, 0.2, "image")}, {"age": "Age"})
    shown = draw_answer(CharacterResult("a", labels, "ok", None, 0.1))
    assert "below the threshold" in shown
    assert "says nothing" not in shown
