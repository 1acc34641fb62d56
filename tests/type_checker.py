"""The run-time type checker of the test suite: beartype, with an int accepted where a float is asked for (PEP 484).

A function's first calls in each test are checked. Loops that call one function thousands of times would spend most of
the suite's time on checking the same shapes again. Its checks are compiled when it is called: every process of the
suite imports thousands of functions and calls a part of them.
"""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

_CHECKED_PER_TEST = 20
_strict = beartype(conf=BeartypeConf(is_pep484_tower=True))
_calls: Counter[tuple[str, str]] = Counter()
_jaxtyped = jaxtyping.jaxtyped


def new_test() -> None:
    """Every function is checked again."""
    _calls.clear()


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises where an argument or its result is not of its type; compiled at its first call."""
    strict = cache(lambda: _strict(function))

    @wraps(function)
    def when_called(*arguments: Any, **keywords: Any) -> Any:
        return strict()(*arguments, **keywords)

    return when_called


def check_first_calls_only() -> None:
    """What jaxtyping's import hook decorates from now on is checked at its first calls in a test.

    The hook puts `jaxtyping.jaxtyped` above every function. It binds a call's arguments by name before it asks the
    checker, which costs more than most checks do.
    """
    jaxtyping.jaxtyped = jaxtyped  # type: ignore[assignment]


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """As jaxtyping's decorator of this name, for a function's first calls in a test."""

    def decorated(target: Any) -> Any:
        strict = _jaxtyped(typechecker=typechecker)(target)
        if inspect.isclass(target):
            return strict
        name = target.__module__, target.__qualname__

        @wraps(target)
        def first_calls(*arguments: Any, **keywords: Any) -> Any:
            _calls[name] += 1
            return (strict if _calls[name] <= _CHECKED_PER_TEST else target)(*arguments, **keywords)

        return first_calls

    return decorated
