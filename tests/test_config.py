from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika import config
from typika.diffusion.embedded import EmbeddedConfig
from typika.errors import ConfigError
from typika.workflow import MineConfig


def test_later_sources_win() -> None:
    recipe = {"seed": 1, "score": {"n_draws": 16, "against": "others"}}
    environment = config.from_environment({"TYPIKA_SEED": "2", "TYPIKA_SCORE__N_DRAWS": "32"})
    flags = config.from_settings({"score.n_draws": "64"})
    found = config.build(MineConfig, recipe, environment, flags)
    assert (found.seed, found.score.n_draws, found.score.against) == (2, 64, "others")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "sede: unknown setting; did you mean seed"),
        ({"score": {"draws": 1}}, "score.draws: unknown setting"),
        ({"score": 3}, "score=3: this is a section"),
        ({"seed": "x"}, "seed='x': expected int, got str"),
        ({"seed": True}, "expected int, got bool"),
        ({"score": {"against": "nil"}}, "expected one of null, others"),
        ({"model": {"log_snr_range": [1]}}, "expected 2 values"),
        ({"score": {"n_draws": 5}}, "n_draws=5: need an even number"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(MineConfig, values)


def test_defaults_survive_a_round_trip_through_toml() -> None:
    default = MineConfig()
    assert config.build(MineConfig, tomllib.loads(config.as_toml(default))) == default


@given(st.text(max_size=40), st.integers(0, 2**31 - 1), st.floats(0.001, 1.0))
def test_any_values_survive_a_round_trip_through_toml(text: str, seed: int, share: float) -> None:
    prompt = text.replace("{", "").replace("}", "").encode("utf-8", "ignore").decode() + "{label}"
    values = {
        "seed": seed,
        "prompt": {"label": prompt, "null": "x"},
        "select": {"share": share},
    }
    built = config.build(MineConfig, values)
    assert config.build(MineConfig, tomllib.loads(config.as_toml(built))) == built


def test_digest_ignores_order_and_sees_every_value() -> None:
    assert config.digest({"a": 1, "b": 2}) == config.digest({"b": 2, "a": 1})
    assert config.digest(EmbeddedConfig()) != config.digest(EmbeddedConfig(gamma=0.2))


def test_differences_are_named_with_both_values() -> None:
    assert config.differences({"a": {"b": 1}}, {"a": {"b": 2}}) == ["a.b: 1 there, 2 now"]


def test_a_missing_or_broken_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        config.read_toml(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.read_toml(broken)


def test_a_setting_without_equals_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        config.parse_setting("score.n_draws")
