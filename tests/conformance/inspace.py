"""All adapters of the InSpace sheet, merged from one file per topic."""

from tests.conformance.inspace_boxes import BOX_MODULES
from tests.conformance.inspace_coarse import COARSE_MODULES
from tests.conformance.inspace_detail import DETAIL_MODULES
from tests.conformance.inspace_evaluation import EVALUATION
from tests.conformance.inspace_networks import NETWORK_MODULES
from tests.conformance.inspace_training import TRAINING_MODULES

MODULES = {**BOX_MODULES, **COARSE_MODULES, **DETAIL_MODULES, **EVALUATION, **NETWORK_MODULES, **TRAINING_MODULES}
