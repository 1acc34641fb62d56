"""Jobs: much work of one kind, in several processes, stopped and taken up again at any time.

    run(function, jobs, workers=4)     all results, in order
    Stream(function, jobs, workers)    results one by one, ahead of their use, of jobs without an end
    Worker(function)                   one process, one job at a time: who dies of what is known
    Store(folder)                      notes of finished jobs: what is there already and still fits is not done again

A job is one argument of the function. Jobs do not know of each other and give the same result in any process, so that
their order and the number of processes change the time and nothing else. When a process is killed, the others are
replaced with it, and what was not delivered is done again.
"""

from scenewright.jobs.local import Failure, Stream, Worker, choose_workers, preload, run
from scenewright.jobs.store import Store, files_stamp, key_of, to_json

__all__ = [
    "Failure",
    "Store",
    "Stream",
    "Worker",
    "choose_workers",
    "files_stamp",
    "key_of",
    "preload",
    "run",
    "to_json",
]
