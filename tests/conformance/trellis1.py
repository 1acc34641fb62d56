"""All adapters of the trellis1 sheet."""

from tests.conformance import (
    trellis1_encoders,
    trellis1_io,
    trellis1_mesh,
    trellis1_networks,
    trellis1_sampling,
    trellis1_training,
)

MODULES = (
    trellis1_encoders.ENCODER_MODULES
    | trellis1_io.MODULES
    | trellis1_mesh.MODULES
    | trellis1_networks.MODULES
    | trellis1_sampling.MODULES
    | trellis1_training.MODULES
)
