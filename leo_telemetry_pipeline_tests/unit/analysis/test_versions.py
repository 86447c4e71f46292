"""The first slow version is named where versions explain a step, and none where they do not."""

from collections.abc import Sequence

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis.versions import FirstSlow, first_slow, names

HOUR = 3_600_000.0
# Lognormal noise, the same in all tests.
NOISE = np.exp(0.2 * np.random.default_rng(7).standard_normal(200))


def found(versions: Sequence[str], slow_from: int, name: str = "service.version") -> FirstSlow | None:
    """Judge hourly spans of 100 ms, which take 200 ms from a place on."""
    count = len(versions)
    starts = [HOUR * place for place in range(count)]
    times = 100 * NOISE[:count] * np.where(np.arange(count) >= slow_from, 2.0, 1.0)
    return first_slow(starts, times.tolist(), [{name: version} for version in versions], 100.0, 200.0)


def test_the_release_that_a_step_began_with_is_named():
    """Lost: someone searches all releases for the one that made it slow."""
    named = found(["1.2"] * 30 + ["1.3"] * 30 + ["1.4"] * 30, 60)
    assert named == FirstSlow("service.version", "1.3", "1.4", 0)
    assert str(named) == "service.version 1.3 was fast, 1.4 is slow"


def test_a_release_that_only_some_runs_have_yet_is_named():
    """Lost: a gradual release, during which the days are neither fast nor slow."""
    rng, versions, times = np.random.default_rng(3), [], []
    for place in range(90):
        is_new = rng.random() < (place - 30) / 30
        versions.append({"app.version": "2" if is_new else "1"})
        times.append(100.0 * NOISE[place] * (2 if is_new else 1))
    named = first_slow([HOUR * place for place in range(90)], times, versions, 100.0, 200.0)
    assert named == FirstSlow("app.version", "1", "2", 0)


def test_commits_with_one_span_each_are_narrowed_to_those_that_may_have_begun_it():
    """Lost: the range to search, or the truth: one span cannot prove that its commit is slow."""
    commits = [f"{place:012x}{0:028x}" for place in range(80)]
    named = found([*commits], 50, "git.sha")
    assert named
    assert commits.index(named.fast) < 50 <= commits.index(named.slow)
    assert named.between <= 3
    assert str(named).startswith(f"git.sha {named.fast[:12]} was fast, {named.slow[:12]} is slow")


@pytest.mark.parametrize(
    "versions",
    [["1.2"] * 90, ["1.2"] * 45 + ["1.3"] * 45, ["1.2", "1.3"] * 45, ["1.2"] * 30 + ["1.2", "1.3"] * 30],
    ids=["the only one", "released before", "in turns", "in turns since a release"],
)
def test_versions_that_do_not_explain_the_step_are_not_named(versions: list[str]):
    """Lost: someone reverts a release that did nothing."""
    assert found(versions, 60) is None


def test_a_version_that_few_spans_have_and_noise_without_a_step_name_nothing():
    """Lost: trust, since chance is called a cause."""
    some = [{"service.version": "1" if place < 60 else "2"} if place % 3 else {} for place in range(90)]
    times = (100 * NOISE[:90] * np.where(np.arange(90) >= 60, 2.0, 1.0)).tolist()
    assert first_slow([HOUR * place for place in range(90)], times, some, 100.0, 200.0) is None
    assert found(["1"] * 60 + ["2"] * 30, 200) is None
    assert first_slow([], [], [], 100.0, 200.0) is None


def test_an_outlier_and_spans_in_any_order_change_nothing():
    """Lost: one hanging call moves the blame to the release before."""
    starts = [HOUR * place for place in range(90)]
    times = 100 * NOISE[:90] * np.where(np.arange(90) >= 60, 2.0, 1.0)
    times[40] = 90_000
    versions = [{"version": "1" if place < 60 else "2"} for place in range(90)]
    order = np.random.default_rng(1).permutation(90)
    mixed = [starts[place] for place in order], times[order].tolist(), [versions[place] for place in order]
    assert first_slow(*mixed, 100.0, 200.0) == FirstSlow("version", "1", "2", 0)


def test_of_two_attributes_the_one_that_says_more_is_named():
    """Lost: the commit, which says more than the release that it is in."""
    versions = [{"service.version": str(place // 60), "head_sha": f"{place // 20:040x}"} for place in range(120)]
    times = (100 * NOISE[:120] * np.where(np.arange(120) >= 60, 2.0, 1.0)).tolist()
    named = first_slow([HOUR * place for place in range(120)], times, versions, 100.0, 200.0)
    assert named
    assert (named.name, named.slow) == ("head_sha", f"{3:040x}")


def test_attributes_are_versions_by_the_last_word_of_their_names():
    """Lost: versions of other people's programs are overlooked, or ids are taken for versions."""
    first = {"service.version": "1", "gitSha": "a", "vcs.ref.head.revision": "b", "gen_ai.request.model": "opus"}
    other = {"conversion": "1", "model_id": "1", "version": "same"}
    both = [{**first, **other}, {**dict.fromkeys(first, "z"), **dict.fromkeys(other, "2"), "version": "same"}, None]
    assert names(both) == sorted(first)
