"""All adapters of the TRELLIS.2 sheet, merged from one file per topic."""

from tests.conformance.trellis2_encoders import ENCODER_MODULES

MODULES = {**ENCODER_MODULES}
