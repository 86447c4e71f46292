"""Dimensions and the values of an analysis about one: threshold, baseline, judgement, result, bottleneck, suggestion.

Belongs here: values shared by store, analysis, actions and commands, one class per concept, and their JSON.
Does not: computing (analysis), storing (store) or wording them (actions).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from leo_telemetry_pipeline.mix import Mix
from leo_telemetry_pipeline.resolution import WHOLE_MS, least_ratio
from leo_telemetry_pipeline.slow_calls import SlowCalls

# Type and key.
Dimension = tuple[str, str]

# Pool of the keys of a type beyond the 20,000 with the most spans, which is not analysed further.
OTHER_KEYS = "__other__"


@dataclass(frozen=True)
class OfDimension:
    """Base of every value about one dimension."""

    dimension_type: str
    dimension_key: str

    @property
    def dimension(self) -> Dimension:
        """Type and key."""
        return self.dimension_type, self.dimension_key

    @property
    def name(self) -> str:
        """Type and key as people write them."""
        return f"{self.dimension_type}:{self.dimension_key}"


@dataclass(frozen=True)
class Baseline(OfDimension):
    """Learned baseline of a dimension, one row of ``telemetry_baselines``; times in ms.

    It is based on ``regime_days`` days of a level that began on ``regime_start``. ``window_end`` is that of the last
    analysis that updated it. ``accepted_on``: window day on which a person last
    accepted a higher level, None if it moved since.
    """

    p50_ms: float
    multiplier: float
    regime_start: date | None
    regime_days: int
    evidence: Mapping[str, Any]
    window_end: datetime | None = None
    moved_at: datetime | None = None
    accepted_at: datetime | None = None
    accepted_on: date | None = None

    @property
    def moved(self) -> str:
        """How the last analysis changed it: learned, settling, kept, improved, mixed or accepted."""
        return self.evidence.get("moved", "kept")

    @property
    def resolution_ms(self) -> float:
        """The resolution of the days that it rests on."""
        return self.evidence.get("resolution_ms", WHOLE_MS)

    @property
    def noise_dismissals(self) -> int:
        """Number of items of the dimension that were dismissed as noise."""
        return self.evidence.get("noise_dismissals", 0)


@dataclass(frozen=True)
class Guard:
    """Condition of a bottleneck: its value and limit if they are numbers, and both in words."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    says: str


@dataclass(frozen=True)
class Judgement(OfDimension):
    """Judgement of a dimension's window against its learned baseline; fields without a value are None.

    ``multiplier`` is the effective one, configured or learned. ``ratio`` is the least that ``resolution_ms``, the
    coarser one of window and baseline, allows. ``p_limit`` is the highest ``p_value`` that counts as a discovery among
    all dimensions of the run. ``tail`` is the judgement of the slowest fifth of the calls, if it has a reference; in
    it, P50s are geometric means of that fifth, and ``slow_calls`` are known if it is slow. ``mix``: why it is not a
    bottleneck. ``is_like_whole``: a slow slice, but no slower than the other slices of its dimension.
    """

    guards: tuple[Guard, ...]
    is_enough: bool = False
    baseline: Baseline | None = None
    multiplier: float | None = None
    observed_p50_ms: float | None = None
    ratio: float | None = None
    sample_count: int = 0
    onset_day: date | None = None
    onset_from: date | None = None
    onset_to: date | None = None
    score: float = 0.0
    p_value: float = 1.0
    p_limit: float = 0.0
    resolution_ms: float = 0.0
    tail: "Judgement | None" = None
    slow_calls: SlowCalls | None = None
    mix: Mix | None = None
    is_like_whole: bool = False

    @property
    def outcome(self) -> str:
        """One of ok, bottleneck, mix, like_whole and not_enough_data."""
        if not self.is_enough:
            return "not_enough_data"
        if self.mix:
            return "mix"
        if not all(guard.passed for guard in self.guards):
            return "ok"
        return "like_whole" if self.is_like_whole else "bottleneck"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, without the dimension."""
        base = self.baseline
        return {
            "outcome": self.outcome,
            "baseline_p50_ms": base and base.p50_ms,
            "multiplier": self.multiplier,
            "observed_p50_ms": self.observed_p50_ms,
            "ratio": self.ratio,
            "sample_count": self.sample_count,
            **{name: _written(getattr(self, name)) for name in _ONSET},
            "score": self.score,
            "p_value": self.p_value,
            "p_limit": self.p_limit,
            "resolution_ms": self.resolution_ms,
            "tail": self.tail and self.tail.as_json(),
            "slow_calls": self.slow_calls and asdict(self.slow_calls),
            "mix": self.mix and self.mix.as_json(),
            "guards": [asdict(guard) for guard in self.guards],
            "p50_ms": base and base.p50_ms,
            "learned_multiplier": base and base.multiplier,
            "regime_start": base and _written(base.regime_start),
            "regime_days": base and base.regime_days,
            "moved": base and base.moved,
            "evidence": base and dict(base.evidence),
        }

    @classmethod
    def from_json(cls, dimension_type: str, dimension_key: str, kept: Mapping[str, Any]) -> "Judgement":
        """Return the judgement that ``as_json`` was called on."""
        name, baseline = (dimension_type, dimension_key), None
        if kept["p50_ms"] is not None:
            since = _read(kept["regime_start"]), kept["regime_days"], kept["evidence"]
            baseline = Baseline(*name, kept["p50_ms"], kept["learned_multiplier"], *since)
        return cls(
            *name,
            tuple(Guard(**guard) for guard in kept["guards"]),
            kept["outcome"] != "not_enough_data",
            baseline,
            *(kept[column] for column in ("multiplier", "observed_p50_ms", "ratio", "sample_count")),
            *(_read(kept[column]) for column in _ONSET),
            *(kept[column] for column in ("score", "p_value", "p_limit")),
            resolution_ms=kept.get("resolution_ms", WHOLE_MS),
            tail=cls.from_json(*name, kept["tail"]) if kept.get("tail") else None,
            slow_calls=SlowCalls(**kept["slow_calls"]) if kept.get("slow_calls") else None,
            mix=Mix.from_json(kept["mix"]) if kept.get("mix") else None,
            is_like_whole=kept["outcome"] == "like_whole",
        )


_ONSET = ("onset_day", "onset_from", "onset_to")


def _written(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _read(day: str | None) -> date | None:
    return date.fromisoformat(day) if day else None


@dataclass(frozen=True)
class Threshold(OfDimension):
    """Effective threshold of a dimension, configured or learned; fields without a value are None."""

    is_active: bool = True
    baseline_p50_ms: float | None = None
    baseline_source: str | None = None
    multiplier: float | None = None
    min_samples: int | None = None
    max_items_per_run: int | None = None
    max_items_per_day: int | None = None
    cooldown_hours: int | None = None


@dataclass(frozen=True)
class DimensionResult(OfDimension):
    """A run's result for a dimension, one row of ``dimension_p50``; times in ms.

    ``outcome`` is None until it is judged. ``resolution_ms`` applies to a learned baseline; the comparison with a
    configured one is exact. With ``slow_calls``, it is a bottleneck by these, and the observed P50 is theirs.
    ``learned`` is the judgement against the learned baseline.
    """

    sample_count: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    sum_ms: float
    queue_p50_ms: float | None
    method: str
    observed_p50_ms: float | None = None
    baseline_p50_ms: float | None = None
    baseline_source: str | None = None
    multiplier: float | None = None
    min_samples: int | None = None
    outcome: str | None = None
    onset_day: date | None = None
    p_value: float | None = None
    evidence_trace_ids: list[str] | None = None
    resolution_ms: float | None = None
    slow_calls: SlowCalls | None = None
    learned: Judgement | None = None

    @property
    def ratio(self) -> float | None:
        """Observed P50 divided by the baseline, as far as their resolution allows."""
        if self.observed_p50_ms is None or not self.baseline_p50_ms:
            return None
        return least_ratio(self.observed_p50_ms, self.baseline_p50_ms, self.resolution_ms or 0.0)


@dataclass(frozen=True)
class Bottleneck(OfDimension):
    """Dimension over its threshold; times in ms. Fields after ``p_value`` are set once it is explained.

    ``cause`` names the dimension that makes it slow, possibly itself; ``slow_value`` is what its slower spans have in
    common with those of others, such as ``model=opus``. With ``slow_calls``, only these are slow, and the observed P50
    is theirs.
    """

    observed_p50_ms: float
    baseline_p50_ms: float
    baseline_source: str | None
    multiplier: float
    sample_count: int
    evidence_trace_ids: list[str] = field(default_factory=list)
    onset_day: date | None = None
    p_value: float | None = None
    lost_ms_a_week: float | None = None
    why: str | None = None
    measured: list[str] = field(default_factory=list)
    set_apart_by: list[str] = field(default_factory=list)
    cause: str | None = None
    slow_value: str | None = None
    resolution_ms: float = 0.0
    slow_calls: SlowCalls | None = None

    @property
    def slow_count(self) -> float:
        """The number of slow spans in the window: all of them, unless only a minority is slow."""
        return self.sample_count * (self.slow_calls.share if self.slow_calls else 1.0)

    @property
    def ratio(self) -> float:
        """Observed P50 divided by the baseline, as far as their resolution allows."""
        return least_ratio(self.observed_p50_ms, self.baseline_p50_ms, self.resolution_ms)

    @property
    def added_ms(self) -> float:
        """Observed P50 minus the baseline."""
        return self.observed_p50_ms - self.baseline_p50_ms

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form for ``output_ref`` and items."""
        return asdict(self) | {"ratio": self.ratio, "onset_day": _written(self.onset_day)}


@dataclass(frozen=True)
class DaySample:
    """Traces of a dimension on one day: number, P50 in ms, and a sample, evenly over the ranks, shortest first."""

    traces: int
    p50_ms: float
    sample: Sequence[str]


@dataclass(frozen=True)
class Explanation(OfDimension):
    """Why a bottleneck is slow; ``share`` (0 to 1) is the part of its added time that the cause explains."""

    share: float
    why: str | None = None
    measured: list[str] = field(default_factory=list)
    set_apart_by: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ExplainedCause(Explanation):
    """Cause, named by its best matching dimension, and the other bottlenecks that it explains as ``members``.

    ``kind`` and ``key`` identify what takes the added time, ``value`` what its slower spans have in common (see
    analysis.causes.Cause).
    """

    kind: str = "span"
    key: str = ""
    members: tuple[Explanation, ...] = ()
    value: str | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "ExplainedCause":
        """Return the cause that ``asdict`` was called on."""
        return cls(**{**kept, "members": tuple(Explanation(**member) for member in kept["members"])})


@dataclass(frozen=True)
class Suggestion(OfDimension):
    """Suggested threshold of a dimension; times in ms. Without a multiplier, ``reason`` says why.

    ``source`` is the row of the current threshold: key, type or global. ``alarms_a_year_*`` are the weeks per year of
    the stable level that exceed the current or the suggested limit; ``share_over_now`` (0 to 1) is the share of weeks
    over the current one. ``is_slower``: that level began with a step up. ``baseline_p50_ms`` is None to keep it.
    """

    source: str
    current_baseline_p50_ms: float | None
    current_multiplier: float
    baseline_p50_ms: float | None = None
    multiplier: float | None = None
    alarms_a_year_now: float | None = None
    alarms_a_year_then: float | None = None
    share_over_now: float | None = None
    is_slower: bool = False
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    is_applied: bool = False
