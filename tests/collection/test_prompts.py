import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.collection.prompts import PromptTemplate
from typika.errors import ConfigError


def test_the_papers_cars():
    cars = PromptTemplate(label="A car from the {label}s.", null="A car.")
    assert cars.text("1920") == "A car from the 1920s."
    assert cars.null_text == "A car."


def test_defaults():
    assert PromptTemplate().text("fox") == "A photo of fox."
    assert PromptTemplate().null_text == "A photo."


@given(st.text())
def test_labels_are_inserted_literally(label):
    assert PromptTemplate("<{label}>", "").text(label) == f"<{label}>"


@pytest.mark.parametrize("text", ["", "A car.", "{label} {label}", "{Label}", "{{label}}"])
def test_the_label_must_occur_once_and_without_other_braces(text):
    with pytest.raises(ConfigError, match="label"):
        PromptTemplate(text, "A car.")


@pytest.mark.parametrize("text", ["{year} {label}", "{label} }", "{label} {}"])
def test_other_braces_are_refused(text):
    with pytest.raises(ConfigError, match="brace"):
        PromptTemplate.parse(text)


def test_the_null_text_takes_no_label():
    with pytest.raises(ConfigError, match="brace"):
        PromptTemplate("A {label}.", "A {label}.")


def test_parse_without_a_null_text_takes_the_empty_one():
    assert PromptTemplate.parse("A {label}.").null_text == ""
    assert PromptTemplate.parse("A {label}.", "A.") == PromptTemplate("A {label}.", "A.")


# Spaces ---------------------------------------------------------------------------------------


def test_marked_characters_of_a_label_read_as_spaces():
    places = PromptTemplate("An image_of {label}.", "a_b", spaces="_/")
    assert places.text("apartment_building/outdoor") == "An image_of apartment building outdoor."
    assert places.null_text == "a_b"


@given(st.text(), st.text())
def test_spaces_replace_exactly_their_characters(label, spaces):
    shown = PromptTemplate("<{label}>", "", spaces=spaces).text(label)
    assert shown == "<" + "".join(" " if c in spaces else c for c in label) + ">"


# Nested prompts -------------------------------------------------------------------------------

STREETS = PromptTemplate(
    "A street in {label}.",
    "A street.",
    spaces="_",
    nested=("A street in {label}, in {sub-region} of {region}.", "In {region}."),
)


def test_nested_prompts_name_what_the_metadata_says():
    metadata = {"region": "Kansai", "sub-region": "Ky_oto", "label": "not this"}
    assert STREETS.nested_texts("far_Japan", metadata) == (
        "A street in far Japan, in Ky_oto of Kansai.",
        "In Kansai.",
    )


@pytest.mark.parametrize("empty", ["", "  "])
def test_nested_prompts_of_empty_values_are_left_out(empty):
    assert STREETS.nested_texts("Japan", {"region": "K", "sub-region": empty}) == ("In K.",)
    assert STREETS.nested_texts("Japan", {"region": empty, "sub-region": "K"}) == ()


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_nested_values_are_inserted_literally(label, value):
    template = PromptTemplate("{label}", "", nested=("<{label}|{label}|{a b}>",))
    assert template.nested_texts(label, {"a b": value}) == (f"<{label}|{label}|{value}>",)


def test_values_that_look_like_fields_are_not_filled_again():
    assert PromptTemplate("{label}", "", nested=("{label} {a}",)).nested_texts(
        "{a}", {"a": "{label}"}
    ) == ("{a} {label}",)


def test_unknown_columns_are_named_with_those_there_are():
    with pytest.raises(ConfigError, match=r"names \{sub-region\}.*columns: region, city"):
        STREETS.require_columns(["region", "city"])
    with pytest.raises(ConfigError, match=r"\{region\}.*columns: none"):
        PromptTemplate(nested=("In {region}.",)).nested_texts("Japan", {})
    STREETS.require_columns(["region", "sub-region"])
    PromptTemplate().require_columns([])


@pytest.mark.parametrize(
    "text", ["", "A street.", "{region", "region}", "{}", "{label} }", "{{label}}", "{a{b}}"]
)
def test_nested_prompts_with_stray_braces_or_no_name(text):
    with pytest.raises(ConfigError, match="nested prompt"):
        PromptTemplate.parse("{label}", nested=(text,))


def test_without_nested_prompts_there_are_none():
    assert PromptTemplate().nested_texts("fox", {}) == ()
