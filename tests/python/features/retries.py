"""Retry policies of the SDK: for activities and for children, with attempts that fail in Python and in WebAssembly.

The SDK retries by itself: a timer and the same action again, under the same action id. So one history holds several
`taskScheduled` with one id, and several `subOrchestrationInstanceCreated` with one id and one instance.
"""

import threading
from datetime import timedelta

from durabletask import task
from hub import Feature, expect, expect_in

feature = Feature()

attempts, lock = {}, threading.Lock()


def attempt(key):
    """Counts the attempts under a key. Outside of orchestrators, which are replayed."""
    with lock:
        attempts[key] = attempts.get(key, 0) + 1
        return attempts[key]


def policy(**options):
    options = {"first_retry_interval": timedelta(milliseconds=10), "max_number_of_attempts": 4, **options}
    return task.RetryPolicy(**options)


@feature.activity
def fails_until(_, input):
    count = attempt(input["key"])
    if count < input["good"]:
        raise ValueError(f"attempt {count}")
    return count


@feature.orchestrator
def retried(ctx, good):
    input = {"key": ctx.instance_id, "good": good}
    return (yield ctx.call_activity(fails_until, input=input, retry_policy=policy()))


@feature.orchestrator
def retried_side_by_side(ctx, goods):
    calls = [
        ctx.call_activity(fails_until, input={"key": f"{ctx.instance_id}-{n}", "good": good}, retry_policy=policy())
        for n, good in enumerate(goods)
    ]
    return (yield task.when_all(calls))


@feature.orchestrator
def retried_slower_and_slower(ctx, _):
    slower = policy(backoff_coefficient=2.0, max_retry_interval=timedelta(milliseconds=30))
    input = {"key": ctx.instance_id, "good": 4}
    return (yield ctx.call_activity(fails_until, input=input, retry_policy=slower))


@feature.orchestrator
def out_of_time(ctx, _):
    input = {"key": ctx.instance_id, "good": 4}
    # The SDK compares with the machine's clock, in replays too. Replayed after a timeout that was not over before, it fails the
    # call at the first attempt, completes under the id of the timer in the history, takes that for its completion, and answers
    # with no action at all, for ever. So only a timeout of nothing is the same in each replay.
    none = policy(retry_timeout=timedelta())
    return (yield ctx.call_activity(fails_until, input=input, retry_policy=none))


@feature.orchestrator
def child_fails_until(ctx, input):
    return (yield ctx.call_activity(fails_until, input=input))


@feature.orchestrator
def retried_child(ctx, good):
    input = {"key": ctx.instance_id, "good": good}
    child = f"{ctx.instance_id}-child"
    return (yield ctx.call_sub_orchestrator(child_fails_until, input=input, instance_id=child, retry_policy=policy()))


@feature.orchestrator
def retried_child_without_id(ctx, good):
    input = {"key": ctx.instance_id, "good": good}
    return (yield ctx.call_sub_orchestrator(child_fails_until, input=input, retry_policy=policy()))


@feature.orchestrator
def retried_in_webassembly(ctx, _):
    try:
        yield ctx.call_activity("unstable", input="this", retry_policy=policy(max_number_of_attempts=3))
    except task.TaskFailedError as error:
        return [error.details.error_type, error.details.message]


@feature.orchestrator
def retried_child_in_webassembly(ctx, good):
    input = {"name": "fails_until", "input": {"key": ctx.instance_id, "good": good}}
    child = f"{ctx.instance_id}-child"
    return (yield ctx.call_sub_orchestrator("call_foreign", input=input, instance_id=child, retry_policy=policy()))


@feature.scenario("an activity is tried until it succeeds, each time under the same id, with a timer in between")
def _(hub):
    instance = hub.start(retried, 3)
    expect(hub.output(instance), 3)
    events = hub.history(instance)
    expect([e.event_id for e in events if type(e).__name__ == "TaskScheduledEvent"], [1, 1, 1], "the ids")
    expect([e.task_scheduled_id for e in events if type(e).__name__ == "TaskFailedEvent"], [1, 1], "the failures")
    expect(len([e for e in events if type(e).__name__ == "TimerFiredEvent"]), 2, "timers")


@feature.scenario("after the last attempt its failure is the caller's")
def _(hub):
    instance = hub.start(retried, 99)
    failure = hub.ended(instance).failure_details
    expect_in("attempt 4", failure.message)
    expect(attempts[instance], 4, "attempts")


@feature.scenario("activities that are retried side by side do not get into each other's way")
def _(hub):
    expect(hub.run(retried_side_by_side, [1, 4, 2, 3, 1, 4]), [1, 4, 2, 3, 1, 4])


@feature.scenario("intervals grow with the backoff up to the longest, and no timer fires early")
def _(hub):
    instance = hub.start(retried_slower_and_slower)
    expect(hub.output(instance), 4)
    delays, now = [], None
    for event in hub.history(instance):
        match type(event).__name__:
            case "OrchestratorStartedEvent":
                now = event.timestamp
            case "TimerCreatedEvent":
                delays.append(event.fire_at - now)
            case "TimerFiredEvent":
                assert now >= event.fire_at, f"at {now}, due at {event.fire_at}"
    expect(delays, [timedelta(milliseconds=ms) for ms in (10, 20, 30)], "delays")


@feature.scenario("a policy that is out of time does not try again")
def _(hub):
    instance = hub.start(out_of_time)
    expect_in("attempt 1", hub.ended(instance).failure_details.message)


@feature.scenario("a child that is retried keeps its id, and its last run is what is kept of it")
def _(hub):
    instance = hub.start(retried_child, 3)
    expect(hub.output(instance), 3)
    expect(hub.output(f"{instance}-child"), 3)
    created = [e for e in hub.history(instance) if type(e).__name__ == "SubOrchestrationInstanceCreatedEvent"]
    expect([(e.event_id, e.instance_id) for e in created], [(1, f"{instance}-child")] * 3)
    expect(hub.events(f"{instance}-child").count("ExecutionStarted"), 1, "starts in the child's history")


@feature.scenario("a child without an id of its own is retried under the same one too")
def _(hub):
    instance = hub.start(retried_child_without_id, 3)
    expect(hub.output(instance), 3)
    expect(hub.output(f"{instance}:0001"), 3)


@feature.scenario("a child that never succeeds fails its parent")
def _(hub):
    failure = hub.failure(retried_child, 99)
    expect_in("attempt 4", failure.inner_failure.inner_failure.message)


@feature.scenario("an activity in WebAssembly is retried by the policy of a Python orchestrator")
def _(hub):
    instance = hub.start(retried_in_webassembly)
    expect(hub.output(instance), ["Unstable", "not yet: this"])
    expect(hub.events(instance).count("TaskFailed"), 3, "attempts")


@feature.scenario("a child in WebAssembly whose Python activity fails is retried by its Python parent")
def _(hub):
    instance = hub.start(retried_child_in_webassembly, 3)
    expect(hub.output(instance), 3)
    expect(hub.output(f"{instance}-child"), 3)


@feature.scenario("an activity in Python is retried by the policy of an orchestrator in WebAssembly")
def _(hub):
    key = hub.id("key")
    instance = hub.start("foreign_call", {"name": "fails_until", "input": {"key": key, "good": 3}, "attempts": 4})
    expect(hub.output(instance), 3)
    expect([hub.events(instance).count(kind) for kind in ("TaskFailed", "TimerFired")], [2, 2])
    hopeless = {"name": "fails_until", "input": {"key": hub.id("key"), "good": 99}, "attempts": 2}
    expect_in("attempt 2", str(hub.failure("foreign_call", hopeless)))


@feature.scenario("a child in Python is retried by its parent in WebAssembly, and keeps its id")
def _(hub):
    key, child = hub.id("key"), hub.id("child")
    input = {"key": key, "good": 3}
    call = {"name": "child_fails_until", "child": True, "id": child, "input": input, "attempts": 4}
    instance = hub.start("foreign_call", call)
    expect(hub.output(instance), 3)
    expect(hub.output(child), 3)
    created = [e for e in hub.history(instance) if type(e).__name__ == "SubOrchestrationInstanceCreatedEvent"]
    expect([event.instance_id for event in created], [child] * 3)
