"""Rate limits and quotas: upper bounds under any schedule, and bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.relay import rate_limits as limits
from api.relay.rate_limits import (
    ConnectionLimits,
    MessageRate,
    Quota,
    RateLimits,
    TokenBucket,
    Verdict,
    network_of,
)

GAPS_S = st.lists(
    st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(-5, 5), st.sampled_from([1 / 3, 0.02])),
    max_size=200,
)
SLACK = 1e-6


def times_of(gaps_s: list[float]) -> list[float]:
    """Return the times with those gaps between them."""
    now_s, times = 1_000.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        times.append(now_s)
    return times


def most_over(passed: list[float], rate_per_s: float, burst: int) -> float:
    """Return by how much the worst window exceeds its limit."""
    return max(
        (
            end + 1 - start - (burst + rate_per_s * (passed[end] - passed[start]))
            for start in range(len(passed))
            for end in range(start, len(passed))
        ),
        default=0.0,
    )


@given(st.integers(1, 100), st.integers(1, 30), GAPS_S)
def test_no_window_exceeds_burst_and_rate(rate_per_s: int, burst: int, gaps_s: list[float]) -> None:
    """Any schedule, also with a clock that goes back."""
    bucket = TokenBucket(rate_per_s, burst)
    passed, latest_s = [], 0.0
    for now_s in times_of(gaps_s):
        latest_s = max(latest_s, now_s)
        if bucket.take(now_s):
            passed.append(latest_s)
    assert most_over(passed, rate_per_s, burst) <= SLACK


@given(st.integers(1, 100), st.integers(1, 30), st.integers(1, 200))
def test_messages_within_the_rate_are_never_refused(rate_per_s: int, burst: int, count: int) -> None:
    """Up to the burst at once, then one after the other."""
    bucket = TokenBucket(rate_per_s, burst)
    assert all(bucket.take(0.0) for _ in range(burst))
    assert not bucket.take(0.0)
    step_s = (1 + SLACK) / rate_per_s
    assert all(bucket.take(number * step_s) for number in range(1, count))


def test_bucket_that_admits_nothing_is_an_error() -> None:
    """It is a mistake of the caller's."""
    for rate_per_s, burst in ((0, 1), (-1, 1), (1, 0)):
        with pytest.raises(ValueError, match="never"):
            TokenBucket(rate_per_s, burst)


def floods(rate: MessageRate, now_s: float) -> list[Verdict]:
    """Return the replies to a flood, until the socket is closed."""
    said = [rate.take(now_s)]
    while said[-1] is not Verdict.CLOSE:
        said.append(rate.take(now_s))
    return said


def test_flood_is_refused_then_closed() -> None:
    """The burst passes, then a limited number of errors is sent."""
    said = floods(RateLimits(10, 20, 100, 200).connection(), 5.0)
    assert said == [Verdict.ALLOW] * 20 + [Verdict.REFUSE] * limits.MAX_REFUSALS + [Verdict.CLOSE]


def test_twice_the_rate_is_closed_too() -> None:
    """Though every other message passes."""
    rate = RateLimits(10, 20, 100, 200).connection()
    said = [rate.take(number / 20) for number in range(1_000)]
    assert Verdict.CLOSE in said
    assert said.count(Verdict.REFUSE) <= limits.MAX_REFUSALS + limits.REFUSALS_PER_S * 1_000 / 20


def test_connections_of_a_user_share_a_bucket() -> None:
    """One connection's use counts for the other; another user's does not."""
    rates = RateLimits(100, 100, 10, 30)
    one, other, foreign = rates.connection(), rates.connection(), rates.connection()
    rates.enter("alice", one)
    rates.enter("alice", other)
    rates.enter("bob", foreign)
    assert [one.take(1.0) for _ in range(20)] == [Verdict.ALLOW] * 20
    assert [other.take(1.0) for _ in range(11)] == [Verdict.ALLOW] * 10 + [Verdict.REFUSE]
    assert foreign.take(1.0) is Verdict.ALLOW


def test_refusal_by_the_user_bucket_costs_the_connection_nothing() -> None:
    """Its own bucket is unchanged."""
    rates = RateLimits(1, 5, 1, 2)
    rate = rates.connection()
    rates.enter("alice", rate)
    assert [rate.take(0.0) for _ in range(3)] == [Verdict.ALLOW, Verdict.ALLOW, Verdict.REFUSE]
    assert [rate.take(1.0), rate.take(2.0), rate.take(3.0)] == [Verdict.ALLOW] * 3


def test_reconnecting_brings_no_new_bucket() -> None:
    """An empty bucket is kept; once it is full again, it is removed."""
    rates = RateLimits(100, 100, 10, 20)
    for _ in range(2):
        rate = rates.connection()
        rates.enter("alice", rate)
        [rate.take(1.0) for _ in range(20)]
        rates.leave("alice", 1.0)
    assert rate.take(1.0) is Verdict.REFUSE
    assert len(rates) == 1
    rates.enter("bob", rates.connection())
    rates.leave("bob", 3.1)
    assert len(rates) == 0


def test_buckets_of_absent_users_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those absent longest are evicted; those of present users never."""
    monkeypatch.setattr(limits, "MAX_ABSENT_USERS", 10)
    rates = RateLimits(100, 100, 1, 5)
    stays = rates.connection()
    rates.enter("here", stays)
    for number in range(50):
        rate = rates.connection()
        rates.enter(f"user-{number}", rate)
        rate.take(1.0)
        rates.leave(f"user-{number}", 1.0)
    assert len(rates) == 11
    rates.leave("here", 1.0)


@given(st.integers(0, 5), st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_quota_is_counted_per_key(limit: int, steps: list[tuple[bool, str]]) -> None:
    """Never above the limit of a key, and no entry for a key without use."""
    places, taken = Quota(limit), dict.fromkeys("abc", 0)
    for take, key in steps:
        if take:
            granted = places.take(key)
            assert granted == (limit == 0 or taken[key] < limit)
            taken[key] += granted
        elif taken[key]:
            places.release(key)
            taken[key] -= 1
    assert len(places) == sum(count > 0 for count in taken.values())


def test_users_and_addresses_have_separate_quotas() -> None:
    """Each by its own limit."""
    connections = ConnectionLimits(per_user=1, per_address=2)
    assert [connections.users.take("a"), connections.users.take("a")] == [True, False]
    assert [connections.addresses.take("a") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_ipv6_addresses_are_counted_by_network(host: str, network: str) -> None:
    """One client has 2**64 addresses."""
    assert network_of(host) == network
