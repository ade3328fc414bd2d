from facestats.audit.label_sources import label_sources, probs_column


def test_merged_picture_and_text_are_always_sources():
    assert label_sources(["image_id"], ["age"]) == {"merged": "{}", "image": "image_{}", "text": "text_{}"}


def test_a_prefix_with_scores_and_probabilities_is_a_source():
    columns = [f"{p}age{end}" for p in ("", "image_", "probe_", "vit_") for end in ("", "_score", "_probs")]
    found = label_sources([*columns, "cluster_age"], ["age"])
    assert list(found) == ["merged", "image", "text", "probe", "vit"]
    assert found["vit"] == "vit_{}"


def test_the_longest_attribute_names_the_column():
    columns = [f"probe_hair_color{end}" for end in ("", "_score", "_probs")]
    assert list(label_sources(columns, ["color", "hair_color"]))[3:] == ["probe"]


def test_the_probabilities_of_a_probe_come_first():
    assert probs_column(["age_probs"], "age") == ("image", "age_probs")
    assert probs_column(["age_probs", "probe_age_probs"], "age") == ("probe", "probe_age_probs")
