"""numba's `njit` for kernels, imported when a kernel is first called.

    from scenewright.compiled import njit

    @njit(cache=True, nogil=True)
    def kernel(...): ...

numba takes half a second of a processor to import, and most commands sample a network for a while before they need a
kernel. A module that needs more of numba than this imports numba itself.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["kept_in", "njit"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# Two threads that call kernels of one module at once would both compile them.
_LOCK = threading.RLock()
# Seconds after which a process compiles although another one is at it, which may be stopped.
_PATIENCE = 60.0


class _Kernel(Generic[Arguments, Result]):
    """A function that numba compiles when it is first called."""

    def __init__(self, function: Callable[Arguments, Result], options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        self._compiled: Callable[Arguments, Result] | None = None
        update_wrapper(self, function)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return (self._compiled or self.compiled())(*args, **kwargs)

    def compiled(self) -> Callable[Arguments, Result]:
        """numba's own form of the function, which others of its kind can call."""
        import numba

        with _LOCK:
            if self._compiled is None:
                names = self._function.__globals__
                form = numba.njit(**self._options)(self._function)
                if self._options.get("cache"):
                    form.compile = _in_turn(form)
                self._compiled = cast(Callable[Arguments, Result], form)
                for name, value in list(names.items()):
                    if isinstance(value, _Kernel):
                        names[name] = value.compiled()
        return self._compiled


def _in_turn(kernel: Any) -> Callable[[Any], Any]:
    """`compile` of a kernel that numba keeps on disk, by one process at a time: those that waited load what it kept.

    Processes that start together would all compile for half a minute. And when two add forms of one kernel at the same
    time, numba's index may lead to the wrong one.
    """
    from filelock import FileLock
    from numba.core.compiler_lock import global_compiler_lock

    compile_now, module = kernel.compile, Path(kernel.py_func.__code__.co_filename).stem
    # One object per file and process: a kernel that is compiled compiles those that it calls.
    lock = FileLock(Path(kernel.stats.cache_path) / f"{module}.lock", timeout=_PATIENCE, is_singleton=True)

    def compile_in_turn(signature: Any) -> Any:
        if signature in kernel.overloads:
            return compile_now(signature)
        # numba's own lock first: a thread that compiles has both.
        with global_compiler_lock, _held_if_possible(lock):
            return compile_now(signature)

    return compile_in_turn


@contextmanager
def _held_if_possible(lock: "FileLock") -> Iterator[None]:
    """Nobody waits for ever, nor where files cannot be locked."""
    from filelock import Timeout

    try:
        lock.acquire()
    except (Timeout, OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def njit(**options: Any) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """`numba.njit` with these options, for a function of a module."""
    return lambda function: _Kernel(function, options)


def kept_in(kernel: Callable[..., Any]) -> Path:
    """The folder where numba keeps the compiled form of a kernel with `cache`."""
    form: Any = kernel.compiled() if isinstance(kernel, _Kernel) else kernel
    return Path(form.stats.cache_path)
