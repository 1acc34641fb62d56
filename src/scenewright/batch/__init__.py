"""Batches: a manifest of jobs, many workers on this machine or a Ray cluster, results in a folder or an object store.

Manifest -> run_batch -> Pool of workers (local processes, Ray actors) -> Place of results, set_aside.jsonl, batch.json
"""
