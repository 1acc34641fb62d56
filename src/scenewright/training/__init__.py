"""One trainer for every network: anything with loss(batch) -> dict; knows no system."""
