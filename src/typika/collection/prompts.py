"""From a label to the text a model is conditioned on; every stage reads the same template."""

from __future__ import annotations

from dataclasses import dataclass

from typika.errors import ConfigError

_FIELD = "{label}"


@dataclass(frozen=True)
class PromptTemplate:
    """The prompt of a label and the prompt of no label.

    Typicality compares the two, so the null text should be the label's text with the label
    taken out, and nothing else changed:

    >>> cars = PromptTemplate(label="A car from the {label}s.", null="A car.")
    >>> cars.text("1920")
    'A car from the 1920s.'
    >>> cars.null_text
    'A car.'

    Raises:
        ConfigError: `label` does not hold `{label}` exactly once, or either text holds another
            brace.
    """

    label: str = "A photo of {label}."
    null: str = "A photo."

    def __post_init__(self) -> None:
        if self.label.count(_FIELD) != 1:
            raise ConfigError(
                f"prompt {self.label!r}: need {_FIELD} exactly once, found it "
                f"{self.label.count(_FIELD)} times; write e.g. 'A photo of {_FIELD}.'"
            )
        for text in (self.label.replace(_FIELD, ""), self.null):
            if "{" in text or "}" in text:
                raise ConfigError(
                    f"prompt {text!r}: braces are only for the {_FIELD} of the label's prompt; "
                    "remove the others"
                )

    @property
    def null_text(self) -> str:
        """The prompt that names no label."""
        return self.null

    def text(self, label: str) -> str:
        """Return the prompt of `label`, which is inserted literally, braces and all."""
        before, after = self.label.split(_FIELD)
        return before + label + after

    @classmethod
    def parse(cls, text: str, null: str | None = None) -> PromptTemplate:
        """Build a template from what a user typed.

        Args:
            text: the label's prompt, with `{label}` once.
            null: the prompt of no label. `None` stands for the empty text, which is the prompt
                Stable Diffusion itself was trained to read as "no condition". Cutting the label
                out of `text` would leave broken English ("A car from the s."), so a better
                null text ("A car.") has to be written by someone who reads it.

        Raises:
            ConfigError: as the class.
        """
        return cls(label=text, null="" if null is None else null)
