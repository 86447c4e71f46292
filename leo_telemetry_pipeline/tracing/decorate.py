"""Decorators: one span per call of a function, coroutine function, generator or asynchronous generator.

Belongs here: wrapping one callable. Does not: spans (operation), finding what to wrap (instrument). Loaded on demand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from leo_telemetry_pipeline.tracing.context import Place, here, move

# Code flags of module `inspect`, which takes longer to import than the whole trace API.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80 | 0x100, 0x200


class Timed(Protocol):
    """The part of a span that a wrapper uses."""

    def __enter__(self) -> Timed:
        """Begin the span and make it current."""
        ...

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """End the span, with the error that the block raised; its parent becomes current."""

    def end(self, kind: type[BaseException] | None = None, error: BaseException | None = None) -> None:
        """End the span without changing which span is current."""


Span = TypeVar("Span", bound=Timed)
# Make creates the span of a call from its arguments; Note records the result of the call on the span.
Make: TypeAlias = Callable[[tuple, dict], Span]
Note: TypeAlias = Callable[[Span, Any], object]


def decorated(function: Any, make: Make[Span], note: Note[Span] | None = None) -> Any:
    """Wrap a function so that each call gets a span; static and class methods keep their kind.

    A generator's span lasts from its first step to its end, without a note. Raises TypeError if not callable.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(decorated(function.__func__, make, note))
    if not callable(function):
        raise TypeError(f"cannot time a {type(function).__name__}: it is not callable")
    flags = code_flags(function)
    if flags & _ASYNC_GENERATOR:
        wrapper = _async_generator(function, make)
    elif flags & _COROUTINE:
        wrapper = _coroutine(function, make, note)
    elif flags & _GENERATOR:
        wrapper = _generator(function, make)
    else:
        wrapper = _function(function, make, note)
    return functools.update_wrapper(wrapper, function)


def code_flags(function: Any) -> int:
    """Return the code flags of a callable after unwrapping partials, methods and ``__call__``."""
    while isinstance(function, functools.partial | functools.partialmethod):
        function = function.func
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__") and not isinstance(function, type):
        function = getattr(type(function), "__call__", function)  # noqa: B004 the method is needed, not whether it exists
    return getattr(getattr(function, "__code__", None), "co_flags", 0)


def _function(function: Callable, make: Make, note: Note | None) -> Callable:
    def wrapper(*args, **kwargs):
        with make(args, kwargs) as span:
            result = function(*args, **kwargs)
            if note is not None:
                note(span, result)
            return result

    return wrapper


def _coroutine(function: Callable, make: Make, note: Note | None) -> Callable:
    async def wrapper(*args, **kwargs):
        with make(args, kwargs) as span:
            result = await function(*args, **kwargs)
            if note is not None:
                note(span, result)
            return result

    return wrapper


class _Inside:
    """Makes a span current only while the body of its generator runs."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, inner: Place) -> None:
        self._inner = inner

    def __enter__(self) -> None:
        self._outer = here()
        move(self._inner)

    def __exit__(self, *exc: object) -> None:
        # The body may have entered spans that it leaves in a later step.
        self._inner = here()
        move(self._outer)


def _begun(span: Timed) -> tuple[Timed, _Inside]:
    outer = here()
    span = span.__enter__()
    inside = _Inside(here())
    move(outer)
    return span, inside


def _generator(function: Callable, make: Make) -> Callable:
    def wrapper(*args, **kwargs):
        body = function(*args, **kwargs)
        span, inside = _begun(make(args, kwargs))
        step, sent = body.send, None
        try:
            while True:
                try:
                    with inside:
                        value = step(sent)
                except StopIteration as stop:
                    span.end()
                    return stop.value
                try:
                    sent = yield value
                    step = body.send
                except GeneratorExit:
                    with inside:
                        result = body.close()
                    span.end()
                    return result
                except BaseException as error:  # noqa: BLE001 every exception thrown in is passed to the body
                    step, sent = body.throw, error
        except BaseException as error:
            span.end(type(error), error)
            raise

    return wrapper


def _async_generator(function: Callable, make: Make) -> Callable:
    async def wrapper(*args, **kwargs):
        body = function(*args, **kwargs)
        span, inside = _begun(make(args, kwargs))
        step, sent = body.asend, None
        try:
            while True:
                try:
                    with inside:
                        value = await step(sent)
                except StopAsyncIteration:
                    span.end()
                    return
                try:
                    sent = yield value
                    step = body.asend
                except GeneratorExit:
                    with inside:
                        await body.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 every exception thrown in is passed to the body
                    step, sent = body.athrow, error
        except BaseException as error:
            span.end(type(error), error)
            raise

    return wrapper
