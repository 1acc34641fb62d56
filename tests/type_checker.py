"""The run-time type checker of the test suite: beartype, with an int accepted where a float is asked for (PEP 484).

A function's first calls in each test are checked. Loops that call one function thousands of times would spend most of
the suite's time on checking the same shapes again. Its checks are compiled when it is called: every process of the
suite imports thousands of functions and calls a part of them.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from beartype import BeartypeConf, beartype

# Arguments and result are a call each.
_CALLS_PER_TEST = 40
_strict = beartype(conf=BeartypeConf(is_pep484_tower=True))
_calls: Counter[tuple[str, str]] = Counter()


def new_test() -> None:
    """Every function is checked again."""
    _calls.clear()


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose first calls in a test raise where an argument or result is not of its type."""
    name, strict = (function.__module__, function.__qualname__), cache(lambda: _strict(function))

    @wraps(function)
    def first_calls(*arguments: Any, **keywords: Any) -> Any:
        _calls[name] += 1
        return strict()(*arguments, **keywords) if _calls[name] <= _CALLS_PER_TEST else None

    return first_calls
