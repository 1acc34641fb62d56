"""All adapters of the GenRecon sheet, merged from one file per topic."""

from tests.conformance.genrecon_assembly import ASSEMBLY
from tests.conformance.genrecon_capture import CAPTURE
from tests.conformance.genrecon_conditioning import CONDITIONING
from tests.conformance.genrecon_joint import JOINT
from tests.conformance.genrecon_networks import NETWORKS
from tests.conformance.genrecon_sampling import SAMPLING

MODULES = {**ASSEMBLY, **CAPTURE, **CONDITIONING, **JOINT, **NETWORKS, **SAMPLING}
