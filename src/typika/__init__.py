"""typika: what makes a label look like itself?

Mines the typical visual elements of labelled image collections. Importing this package loads
nothing heavy; each public name loads its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Bias": "typika.biases",
    "Comparison": "typika.comparison",
    "Evaluation": "typika.localisation",
    "ConfigError": "typika.errors",
    "ContrastRun": "typika.contrasts",
    "Cotypicality": "typika.cotypicality",
    "DataError": "typika.errors",
    "ImageCollection": "typika.collection.images",
    "MineConfig": "typika.workflow",
    "MiningRun": "typika.workflow",
    "ModelError": "typika.errors",
    "ParallelCollection": "typika.collection.parallel",
    "PromptTemplate": "typika.collection.prompts",
    "Segmentation": "typika.mining.segmenters",
    "TrendsRun": "typika.segmentation",
    "TypikaError": "typika.errors",
    "along": "typika.trajectory",
    "baseline": "typika.workflow",
    "bias": "typika.biases",
    "compare": "typika.comparison",
    "compare_methods": "typika.methods",
    "contrast": "typika.contrasts",
    "cotypical": "typika.cotypicality",
    "evaluate": "typika.localisation",
    "mine": "typika.workflow",
    "translate": "typika.translation",
    "trends": "typika.segmentation",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from typika.biases import Bias as Bias
    from typika.biases import bias as bias
    from typika.collection.images import ImageCollection as ImageCollection
    from typika.collection.parallel import ParallelCollection as ParallelCollection
    from typika.collection.prompts import PromptTemplate as PromptTemplate
    from typika.comparison import Comparison as Comparison
    from typika.comparison import compare as compare
    from typika.contrasts import ContrastRun as ContrastRun
    from typika.contrasts import contrast as contrast
    from typika.cotypicality import Cotypicality as Cotypicality
    from typika.cotypicality import cotypical as cotypical
    from typika.errors import ConfigError as ConfigError
    from typika.errors import DataError as DataError
    from typika.errors import ModelError as ModelError
    from typika.errors import TypikaError as TypikaError
    from typika.localisation import Evaluation as Evaluation
    from typika.localisation import evaluate as evaluate
    from typika.methods import compare_methods as compare_methods
    from typika.mining.segmenters import Segmentation as Segmentation
    from typika.segmentation import TrendsRun as TrendsRun
    from typika.segmentation import trends as trends
    from typika.trajectory import along as along
    from typika.translation import translate as translate
    from typika.workflow import MineConfig as MineConfig
    from typika.workflow import MiningRun as MiningRun
    from typika.workflow import baseline as baseline
    from typika.workflow import mine as mine


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'typika' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
