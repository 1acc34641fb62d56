"""All adapters of the TRELLIS.2 sheet, merged from one file per topic."""

from tests.conformance import trellis2_encoders, trellis2_networks, trellis2_ovoxel, trellis2_remesh

MODULES = (
    trellis2_encoders.ENCODER_MODULES | trellis2_networks.MODULES | trellis2_ovoxel.MODULES | trellis2_remesh.MODULES
)
