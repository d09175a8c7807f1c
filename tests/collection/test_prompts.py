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
