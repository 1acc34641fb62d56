"""Settings shared by all tests."""

import torch
from hypothesis import settings

# Examples are few so that the suite stays in minutes on two cores; no deadline, because machines share their cores.
settings.register_profile("scenewright", max_examples=25, deadline=None)
settings.load_profile("scenewright")
torch.manual_seed(0)
# One test process runs per core already; threads that wait for each other in turn would slow all of them down.
torch.set_num_threads(1)
