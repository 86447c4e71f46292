"""Instrumentation of an existing executor without editing it.

Belongs here: finding, wrapping and restoring the callables of an executor, its phases, gates and sub-agents.
Does not: the wrapper of one callable (decorate). Loaded on demand, not with the trace API.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from leo_telemetry_pipeline.tracing.decorate import decorated
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.tracer import Tracer

# Methods that do an object's work; the first one that it has is timed.
METHODS = ("execute", "validate", "run", "check", "evaluate", "invoke")
# Arguments of the executor that describe the handoff.
_OPTIONS = ("sd_id", "sd_type", "project", "workflow_execution_id", "queued_at")
_NAMES = ("handoff_type", "handoff")
_RESULTS = ("score", "passed")

Describe = Callable[..., Mapping[str, Any]]


class Instrumented:
    """Wrapped callables, and ``undo``, which a ``with`` block calls at its end.

    ``handoff`` is the wrapped executor; ``phases``, ``gates`` and ``subagents`` map span names to wrapped callables;
    ``skipped`` names what could not be replaced in place or is wrapped already.
    """

    def __init__(self) -> None:
        self.handoff: Callable[..., Any] | None = None
        self.phases: dict[str, Callable[..., Any]] = {}
        self.gates: dict[str, Callable[..., Any]] = {}
        self.subagents: dict[str, Callable[..., Any]] = {}
        self.skipped: list[str] = []
        self._undo: list[Callable[[], object]] = []

    def undo(self) -> None:
        """Restore the originals."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Instrumented:
        return self

    def __exit__(self, *exc: object) -> None:
        self.undo()


def instrument(
    tracer: Tracer,
    handoff_executor: Any,
    *,
    phases: Any,
    gates: Any,
    subagents: Any,
    describe: Describe | None,
    methods: Iterable[str] | None,
) -> Instrumented:
    """Wrap an executor and its parts in spans of a tracer; arguments as for ``trace.instrument``."""
    result, names = Instrumented(), METHODS if methods is None else tuple(methods)
    for kind, holder, work in (
        ("phase", result.phases, phases),
        ("gate", result.gates, gates),
        ("subagent", result.subagents, subagents),
    ):
        _Patch(result, functools.partial(_part, tracer, kind), holder, names).wrap_all(work)
    executors: dict[str, Callable[..., Any]] = {}
    _Patch(result, functools.partial(_handoff, tracer, describe), executors, names).wrap_one(None, handoff_executor)
    result.handoff = next(iter(executors.values()), None)
    return result


class _Patch:
    """Replaces callables with wrapped ones, and records them and how to restore the originals."""

    def __init__(
        self,
        result: Instrumented,
        wrap: Callable[[str, Any, bool], Any],
        holder: dict[str, Callable[..., Any]],
        methods: tuple[str, ...],
    ) -> None:
        self._result = result
        self._wrap = wrap
        self._holder = holder
        self._methods = methods

    def wrap_all(self, work: Any) -> None:
        """Wrap the items of a dict, list or other iterable, the functions of a module, or a single object."""
        if isinstance(work, Mapping):
            for key, item in list(work.items()):
                self._element(work, key, item, str(key))
        elif isinstance(work, ModuleType):
            for name, item in list(vars(work).items()):
                if not name.startswith("_") and inspect.isfunction(item) and item.__module__ == work.__name__:
                    self._attribute(work, name, name)
        elif isinstance(work, Iterable) and not callable(work):
            for index, item in enumerate(list(work)):
                self._element(work, index, item, None)
        else:
            self.wrap_one(None, work)

    def wrap_one(self, name: str | None, work: Any) -> Any:
        """Wrap one callable, or the method of an object or class; return its replacement."""
        name = name or _name_of(work)
        method = next((m for m in self._methods if callable(getattr(work, m, None))), None)
        if method is not None and not inspect.isroutine(work):
            self._attribute(work, method, name)
            return work
        if not callable(work):
            self._result.skipped.append(name)
            return work
        if _is_timed(work):
            self._leave(name, work)
            return work
        self._holder[name] = wrapped = self._wrap(name, work, False)
        return wrapped

    def _element(self, container: Any, key: Any, item: Any, name: str | None) -> None:
        wrapped = self.wrap_one(name, item)
        if wrapped is item:
            return
        try:
            container[key] = wrapped
        except TypeError:  # such as a tuple: use the callables in the result
            return
        self._result._undo.append(functools.partial(container.__setitem__, key, item))

    def _attribute(self, owner: Any, attribute: str, name: str) -> None:
        own = vars(owner).get(attribute, _MISSING) if hasattr(owner, "__dict__") else _MISSING
        # On a class, plain getattr would unwrap static and class methods.
        work = inspect.getattr_static(owner, attribute) if isinstance(owner, type) else getattr(owner, attribute)
        if _is_timed(work):
            self._leave(name, getattr(owner, attribute))
            return
        try:
            setattr(owner, attribute, self._wrap(name, work, isinstance(owner, type) and inspect.isfunction(work)))
        except (AttributeError, TypeError):
            self._result.skipped.append(name)
            return
        self._holder[name] = getattr(owner, attribute)
        back = (
            functools.partial(delattr, owner, attribute)
            if own is _MISSING
            else functools.partial(setattr, owner, attribute, own)
        )
        self._result._undo.append(back)

    def _leave(self, name: str, work: Any) -> None:
        # Wrapped by an earlier call; a second wrapper would record each span twice.
        self._holder[name] = work
        self._result.skipped.append(name)


_MISSING: Any = object()
_MARK = "__leo_telemetry__"


def _is_timed(work: Any) -> bool:
    return hasattr(getattr(work, "__func__", work), _MARK)


def _marked(wrapped: Any) -> Any:
    setattr(getattr(wrapped, "__func__", wrapped), _MARK, True)
    return wrapped


def _name_of(work: Any) -> str:
    own = getattr(work, "name", None)
    if isinstance(own, str) and own:
        return own
    work = work.func if isinstance(work, functools.partial) else work
    return getattr(work, "__name__", None) or type(work).__name__


def _part(tracer: Tracer, kind: str, name: str, work: Any, _takes_self: bool) -> Any:
    span = tracer.span(kind, name)
    return _marked(decorated(work, lambda *_: span.again(), _note_result if kind == "gate" else None))


def _note_result(span: Operation, result: Any) -> None:
    of = result.get if isinstance(result, Mapping) else lambda name: getattr(result, name, None)
    with suppress(Exception):  # properties of the program may raise anything
        values = {f"gate_{name}": of(name) for name in _RESULTS}
        span.set({name: value for name, value in values.items() if isinstance(value, int | float)})


def _handoff(tracer: Tracer, describe: Describe | None, name: str, work: Any, takes_self: bool) -> Any:
    by_parameter = _by_parameter(work)

    def make(args: tuple, kwargs: dict) -> Operation:
        try:
            options = dict(by_parameter(args, kwargs) if describe is None else describe(*args[takes_self:], **kwargs))
            return tracer.handoff(options.pop("name", name), **options)
        except Exception:  # noqa: BLE001 the executor must not fail because its arguments are unusual
            return tracer.handoff(name)

    return _marked(decorated(work, make))


def _by_parameter(work: Any) -> Callable[[tuple, dict], dict[str, Any]]:
    try:
        signature = inspect.signature(work.__func__ if isinstance(work, staticmethod | classmethod) else work)
    except (TypeError, ValueError):  # such as a callable written in C
        signature = None

    def options(args: tuple, kwargs: dict) -> dict[str, Any]:
        given = kwargs if signature is None else signature.bind_partial(*args, **kwargs).arguments
        chosen = {option: given[option] for option in _OPTIONS if given.get(option) is not None}
        name = next((given[name] for name in _NAMES if given.get(name) is not None), None)
        return chosen if name is None else {"name": name, **chosen}

    return options
