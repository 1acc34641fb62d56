"""All adapters of the I-Scene sheet, merged from one file per topic."""

from tests.conformance.iscene_evaluation import EVALUATION
from tests.conformance.iscene_inputs import INPUT_MODULES
from tests.conformance.iscene_layout import LAYOUT_MODULES
from tests.conformance.iscene_networks import NETWORKS

MODULES = {**EVALUATION, **INPUT_MODULES, **LAYOUT_MODULES, **NETWORKS}
