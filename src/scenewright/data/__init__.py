"""Assets, generated scenes, and shards to learn from."""
