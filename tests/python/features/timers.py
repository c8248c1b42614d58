"""Durable timers."""

from datetime import datetime, timedelta, timezone

from durabletask import task
from hub import Feature, expect, expect_status

feature = Feature()


def millis(count):
    return timedelta(milliseconds=count)


@feature.activity
def instantly(_, input):
    return input


@feature.orchestrator
def sleeps(ctx, count):
    begun = ctx.current_utc_datetime
    yield ctx.create_timer(millis(count))
    return (ctx.current_utc_datetime - begun) / millis(1)


@feature.orchestrator
def sleeps_until_the_past(ctx, _):
    yield ctx.create_timer(ctx.current_utc_datetime - timedelta(days=1))
    yield ctx.create_timer(datetime(2001, 1, 1, tzinfo=timezone.utc))
    yield ctx.create_timer(timedelta())
    return "at once"


@feature.orchestrator
def wakes_in_order(ctx, counts):
    timers = {ctx.create_timer(millis(count)): count for count in counts}
    order = []
    while timers:
        first = yield task.when_any(list(timers))
        order.append(timers.pop(first))
    return order


@feature.orchestrator
def many_timers(ctx, width):
    yield task.when_all([ctx.create_timer(millis(20 + n % 10)) for n in range(width)])
    return width


@feature.orchestrator
def outruns_a_timer(ctx, _):
    timer = ctx.create_timer(timedelta(hours=1))
    quick = ctx.call_activity(instantly, input="quick")
    winner = yield task.when_any([timer, quick])
    return winner.get_result() if winner is quick else "the timer"


@feature.orchestrator
def cancels_a_timer(ctx, _):
    timer = ctx.create_timer(timedelta(hours=1))
    yield ctx.call_activity(instantly)
    timer.cancel()
    yield ctx.create_timer(millis(1))
    return timer.is_cancelled


@feature.orchestrator
def sleeps_for_ages(ctx, days):
    yield ctx.create_timer(timedelta(days=days))


@feature.orchestrator
def naps_between_children(ctx, _):
    slept = []
    for _ in range(2):
        slept.append((yield ctx.call_sub_orchestrator("sleep", input=20)))
        yield ctx.create_timer(millis(5))
    return slept


@feature.scenario("a timer fires when it is due, and never early by the orchestrator's own clock")
def _(hub):
    for count in (1, 50, 300):
        slept = hub.run(sleeps, count)
        assert count <= slept < count + 5000, f"slept for {slept} ms instead of {count}"


@feature.scenario("a timer fires at the time that it was created with, and is recorded so")
def _(hub):
    instance = hub.start(sleeps, 30)
    hub.output(instance)
    events = hub.history(instance)
    created = next(e for e in events if type(e).__name__ == "TimerCreatedEvent")
    fired = next(e for e in events if type(e).__name__ == "TimerFiredEvent")
    expect([fired.timer_id, fired.fire_at], [created.event_id, created.fire_at])


@feature.scenario("a timer that is due in the past fires at once")
def _(hub):
    expect(hub.run(sleeps_until_the_past), "at once")


@feature.scenario("timers fire in the order of their times, not of their creation")
def _(hub):
    expect(hub.run(wakes_in_order, [240, 20, 160, 80]), [20, 80, 160, 240])


@feature.scenario("200 timers of one orchestration all fire")
def _(hub):
    expect(hub.run(many_timers, 200), 200)


@feature.scenario("an orchestration ends while a timer that it does not wait for is pending")
def _(hub):
    expect(hub.run(outruns_a_timer), "quick")


@feature.scenario("a timer that is cancelled after it was created does not disturb")
def _(hub):
    expect(hub.run(cancels_a_timer), True)


@feature.scenario("a timer of a hundred days waits, and its orchestration can be terminated")
def _(hub):
    # The SDK makes timers of at most three days of it, one after the other.
    instance = hub.start(sleeps_for_ages, 100)
    hub.until(instance, "RUNNING")
    expect(hub.events(instance).count("TimerCreated"), 1)
    hub.client.terminate_orchestration(instance)
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("children in WebAssembly that sleep, and a Python parent that sleeps, wake")
def _(hub):
    slept = hub.run(naps_between_children)
    assert len(slept) == 2 and min(slept) >= 20, slept


@feature.scenario("an orchestrator in WebAssembly gives up on a Python activity that takes too long, and takes one that does not")
def _(hub):
    late = {"call": {"name": "nobody_has_this"}, "millis": 30}
    expect(hub.run("foreign_race", late), "timed out")
    quick = {"call": {"name": "instantly", "input": "quick"}, "millis": 60_000}
    expect(hub.run("foreign_race", quick), "quick")
