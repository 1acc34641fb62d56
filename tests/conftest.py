"""Settings shared by all tests."""

import torch
from hypothesis import settings

# Examples are few so that the suite stays in minutes on two cores; no deadline, because machines share their cores.
settings.register_profile("scenewright", max_examples=25, deadline=None)
settings.load_profile("scenewright")
torch.manual_seed(0)
