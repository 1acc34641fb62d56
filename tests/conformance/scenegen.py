"""All adapters of the SceneGen sheet, merged from one file per topic."""

from tests.conformance.scenegen_evaluation import EVALUATION
from tests.conformance.scenegen_inputs import INPUT_MODULES
from tests.conformance.scenegen_networks import NETWORK_MODULES

MODULES = {**EVALUATION, **INPUT_MODULES, **NETWORK_MODULES}
