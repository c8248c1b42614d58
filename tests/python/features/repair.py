"""Rewind and restart.

The scheduler rewrites the history by itself: an SDK sees a rewound instance as one whose failed work was never called. So
orchestrators of every SDK can be rewound, also those that do not know how.
"""

import threading

from durabletask import task
from hub import Feature, expect, expect_in, expect_status, parse, refused

feature = Feature()

# What is broken, and how often an activity has run, by a key: outside of orchestrators, which are replayed.
broken, runs, lock = set(), {}, threading.Lock()


@feature.activity
def works_unless_broken(_, key):
    with lock:
        runs[key] = runs.get(key, 0) + 1
        if key in broken:
            raise RuntimeError(f"{key} is broken")
        return runs[key]


@feature.activity
def always_works(_, key):
    with lock:
        runs[key] = runs.get(key, 0) + 1
        return "fine"


@feature.orchestrator
def good_then_broken(ctx, _):
    first = yield ctx.call_activity(always_works, input=f"{ctx.instance_id}-good")
    second = yield ctx.call_activity(works_unless_broken, input=ctx.instance_id)
    return [first, second]


@feature.orchestrator
def broken_side_by_side(ctx, width):
    keys = [f"{ctx.instance_id}-{number}" for number in range(width)]
    return (yield task.when_all([ctx.call_activity(works_unless_broken, input=key) for key in keys]))


@feature.orchestrator
def parent_of_broken(ctx, input):
    first = yield ctx.call_activity(always_works, input=f"{ctx.instance_id}-good")
    child = yield ctx.call_sub_orchestrator(input["name"], input=input["input"], instance_id=input["child"])
    return [first, child]


@feature.orchestrator
def parent_of_two(ctx, _):
    names = [f"{ctx.instance_id}-a", f"{ctx.instance_id}-b"]
    return (yield task.when_all([ctx.call_sub_orchestrator(good_then_broken, instance_id=name) for name in names]))


@feature.orchestrator
def fails_by_itself(ctx, _):
    yield ctx.call_activity(always_works, input=ctx.instance_id)
    raise ValueError("in any case")


@feature.orchestrator
def returns_it(ctx, input):
    return [input, ctx.version]


@feature.orchestrator
def waits_for_end(ctx, _):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("end"))


def fail(hub, instance):
    return expect_status(hub.ended(instance), "FAILED")


@feature.scenario("a rewound instance runs what failed again, and nothing that succeeded")
def _(hub):
    instance = hub.id()
    broken.add(instance)
    fail(hub, hub.start(good_then_broken, instance_id=instance))
    before = hub.history(instance)[1].orchestration_instance.execution_id
    broken.discard(instance)
    hub.client.rewind_orchestration(instance, reason="it is mended")
    expect(hub.output(instance), ["fine", 2])
    expect(runs[f"{instance}-good"], 1, "runs of the activity that had succeeded")
    expect(hub.state(instance).failure_details, None)
    events = hub.history(instance)
    kinds = [type(event).__name__.removesuffix("Event") for event in events]
    expect([kinds.count(kind) for kind in ("ExecutionRewound", "TaskFailed", "ExecutionCompleted")], [1, 0, 1])
    expect(next(event for event in events if kinds[events.index(event)] == "ExecutionRewound").reason, "it is mended")
    assert events[1].orchestration_instance.execution_id != before, "a rewound execution has a new id"


@feature.scenario("an instance that fails again can be rewound again")
def _(hub):
    instance = hub.id()
    broken.add(instance)
    fail(hub, hub.start(good_then_broken, instance_id=instance))
    for attempt in (2, 3):
        hub.client.rewind_orchestration(instance)
        fail(hub, instance)
        expect(runs[instance], attempt)
    broken.discard(instance)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), ["fine", 4])
    expect(runs[f"{instance}-good"], 1)


@feature.scenario("of activities side by side only those that failed run again")
def _(hub):
    instance = hub.id()
    keys = [f"{instance}-{number}" for number in range(6)]
    broken.update(keys[1:3])
    fail(hub, hub.start(broken_side_by_side, 6, instance_id=instance))
    broken.difference_update(keys)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), [1, 2, 2, 1, 1, 1])


@feature.scenario("a rewind goes on to a child that failed, and its result reaches the parent")
def _(hub):
    instance, child = hub.id("parent"), hub.id("child")
    broken.add(child)
    fail(hub, hub.start(parent_of_broken, {"name": "good_then_broken", "input": None, "child": child}, instance_id=instance))
    fail(hub, child)
    broken.discard(child)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), ["fine", ["fine", 2]])
    expect(hub.output(child), ["fine", 2])
    expect([runs[f"{instance}-good"], runs[f"{child}-good"]], [1, 1])


@feature.scenario("a rewind leaves a child that succeeded as it is")
def _(hub):
    instance = hub.id("parent")
    broken.add(f"{instance}-b")
    fail(hub, hub.start(parent_of_two, instance_id=instance))
    broken.discard(f"{instance}-b")
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), [["fine", 1], ["fine", 2]])


@feature.scenario("a child that failed and was purged is made afresh by the rewind of its parent")
def _(hub):
    instance, child = hub.id("parent"), hub.id("child")
    broken.add(child)
    fail(hub, hub.start(parent_of_broken, {"name": "good_then_broken", "input": None, "child": child}, instance_id=instance))
    expect(hub.client.purge_orchestration(child).deleted_instance_count, 1)
    broken.discard(child)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), ["fine", ["fine", 2]])
    expect(runs[f"{child}-good"], 2, "runs of the fresh child's first activity")


@feature.scenario("an instance whose own code fails, fails again after a rewind")
def _(hub):
    instance = hub.start(fails_by_itself)
    fail(hub, instance)
    hub.client.rewind_orchestration(instance)
    expect(fail(hub, instance).failure_details.message, "in any case")
    expect(runs[instance], 1)


@feature.scenario("only an instance that has failed can be rewound")
def _(hub):
    refused("NOT_FOUND", lambda: hub.client.rewind_orchestration(hub.id("nobody")))
    good = hub.start(returns_it)
    hub.output(good)
    refused("FAILED_PRECONDITION", lambda: hub.client.rewind_orchestration(good))
    waiting = hub.start(waits_for_end)
    hub.says(waiting, "waiting")
    refused("FAILED_PRECONDITION", lambda: hub.client.rewind_orchestration(waiting))
    hub.client.terminate_orchestration(waiting)
    hub.ended(waiting)
    refused("FAILED_PRECONDITION", lambda: hub.client.rewind_orchestration(waiting))


@feature.scenario("an orchestrator in WebAssembly whose Python activity failed can be rewound")
def _(hub):
    key = hub.id()
    broken.add(key)
    instance = hub.start("call_foreign", {"name": "works_unless_broken", "input": key})
    fail(hub, instance)
    broken.discard(key)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), 2)


@feature.scenario("a rewind of a Python parent goes on to a child in WebAssembly")
def _(hub):
    key, child, instance = hub.id(), hub.id("child"), hub.id("parent")
    broken.add(key)
    foreign = {"name": "call_foreign", "input": {"name": "works_unless_broken", "input": key}, "child": child}
    fail(hub, hub.start(parent_of_broken, foreign, instance_id=instance))
    broken.discard(key)
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), ["fine", 2])


@feature.scenario("a rewind of a parent in WebAssembly goes on to a Python child")
def _(hub):
    key = hub.id("key")
    broken.add(f"{key}-0")
    instance = hub.start("start_foreign", {"name": "call_foreign", "input": {"name": "works_unless_broken", "input": f"{key}-0"}})
    fail(hub, instance)
    broken.discard(f"{key}-0")
    hub.client.rewind_orchestration(instance)
    expect(hub.output(instance), 2)


@feature.scenario("an instance that has ended is restarted under its id with all that it was started with")
def _(hub):
    instance = hub.start(returns_it, {"a": 1}, version="1.1", tags={"t": "x"})
    expect(hub.output(instance), [{"a": 1}, "1.1"])
    before = hub.history(instance)[1].orchestration_instance.execution_id
    expect(hub.client.restart_orchestration(instance), instance)
    expect(hub.output(instance), [{"a": 1}, "1.1"])
    started = hub.history(instance)[1]
    assert started.orchestration_instance.execution_id != before
    expect([started.tags, parse(started.input)], [{"t": "x"}, {"a": 1}])


@feature.scenario("an instance is restarted under a new id, in whatever status it is")
def _(hub):
    ended, waiting = hub.start(returns_it, "again"), hub.start(waits_for_end)
    hub.output(ended)
    hub.says(waiting, "waiting")
    other = hub.client.restart_orchestration(ended, restart_with_new_instance_id=True)
    assert other != ended
    expect(hub.output(other), ["again", None])
    other = hub.client.restart_orchestration(waiting, restart_with_new_instance_id=True)
    hub.says(other, "waiting")
    expect_status(hub.state(waiting), "RUNNING")


@feature.scenario("a failed and a terminated instance are restarted")
def _(hub):
    instance = hub.id()
    broken.add(instance)
    fail(hub, hub.start(good_then_broken, instance_id=instance))
    broken.discard(instance)
    hub.client.restart_orchestration(instance)
    expect(hub.output(instance), ["fine", 2])
    expect(runs[f"{instance}-good"], 2, "it starts from the beginning")
    waiting = hub.start(waits_for_end)
    hub.says(waiting, "waiting")
    hub.client.terminate_orchestration(waiting)
    hub.ended(waiting)
    hub.client.restart_orchestration(waiting)
    hub.says(waiting, "waiting")


@feature.scenario("a running instance cannot be restarted under its id, and one that does not exist not at all")
def _(hub):
    waiting = hub.start(waits_for_end)
    hub.says(waiting, "waiting")
    refused("FAILED_PRECONDITION", lambda: hub.client.restart_orchestration(waiting))
    nobody = hub.id("nobody")
    refused("NOT_FOUND", lambda: hub.client.restart_orchestration(nobody))
    refused("NOT_FOUND", lambda: hub.client.restart_orchestration(nobody, restart_with_new_instance_id=True))


@feature.scenario("an orchestrator in WebAssembly is restarted with its input")
def _(hub):
    instance = hub.start("started_with", {"a": 1}, tags={"t": "x"})
    first = hub.output(instance)
    hub.client.restart_orchestration(instance)
    expect(hub.output(instance), first)
    other = hub.client.restart_orchestration(instance, restart_with_new_instance_id=True)
    expect(hub.output(other), {**first, "id": other})


@feature.scenario("an orchestrator in WebAssembly whose Python activities ran side by side can be rewound")
def _(hub):
    keys = [hub.id("key") for _ in range(4)]
    broken.add(keys[2])
    instance = hub.start("foreign_calls", [{"name": "works_unless_broken", "input": key} for key in keys])
    fail(hub, instance)
    broken.discard(keys[2])
    hub.client.rewind_orchestration(instance)
    # It fails with the first failure. What came later was for an instance that had ended, and is done again.
    counts = hub.output(instance)
    assert counts[2] == 2 and set(counts) <= {1, 2}, counts
