"""Continue-as-new: inputs, events and statuses across the executions of one instance."""

from datetime import timedelta

from durabletask import task
from hub import Feature, eventually, expect, expect_status, parse

feature = Feature()


@feature.activity
def plus_one(_, number):
    return number + 1


@feature.orchestrator
def counts_to(ctx, input):
    number, last = input
    ctx.set_custom_status(f"generation {number}")
    if number == last:
        return [number, ctx.version]
    number = yield ctx.call_activity(plus_one, input=number)
    ctx.continue_as_new([number, last])


@feature.orchestrator
def sets_its_status_once(ctx, left):
    if left == 2:
        ctx.set_custom_status("set in the first generation")
    if left > 0:
        yield ctx.create_timer(timedelta(milliseconds=1))
        ctx.continue_as_new(left - 1)
        return
    yield ctx.wait_for_external_event("end")


@feature.orchestrator
def takes_one_a_generation(ctx, input):
    """Takes one event a generation, and keeps those that it did not take."""
    taken, count = input
    taken.append((yield ctx.wait_for_external_event("item")))
    if len(taken) < count:
        ctx.continue_as_new([taken, count], save_events=True)
        return
    return taken


@feature.orchestrator
def drops_what_it_did_not_take(ctx, generation):
    if generation == 1:
        ctx.set_custom_status("first")
        yield ctx.wait_for_external_event("next")
        ctx.continue_as_new(2, save_events=False)
        return
    ctx.set_custom_status("second")
    item = ctx.wait_for_external_event("item")
    yield task.when_any([item, ctx.wait_for_external_event("end")])
    return item.get_result() if item.is_complete else "no item"


@feature.orchestrator
def leaves_work_behind(ctx, generation):
    """Continues while an activity, a timer and a child are open. Nothing of them may reach the next generation."""
    if generation < 5:
        ctx.call_activity(plus_one, input=100)
        ctx.create_timer(timedelta(milliseconds=5))
        ctx.call_sub_orchestrator(counts_to, input=[1, 1], instance_id=f"{ctx.instance_id}-left-{generation}")
        yield ctx.create_timer(timedelta(milliseconds=1))
        ctx.continue_as_new(generation + 1)
        return
    yield ctx.create_timer(timedelta(milliseconds=50))
    return (yield ctx.call_activity(plus_one, input=1))


@feature.orchestrator
def tells_while_it_continues(ctx, input):
    receiver, number = input
    ctx.send_event(receiver, "item", data=number)
    if number < 3:
        ctx.continue_as_new([receiver, number + 1])
        return
    return "told"


@feature.orchestrator
def takes_three(ctx, _):
    ctx.set_custom_status("waiting")
    taken = []
    for _ in range(3):
        taken.append((yield ctx.wait_for_external_event("item")))
    return taken


@feature.orchestrator
def moves_to_a_version(ctx, first):
    if first:
        yield ctx.create_timer(timedelta(milliseconds=1))
        ctx.continue_as_new(False, new_version="2.0")
        return
    return ctx.version


@feature.orchestrator
def makes_children_each_generation(ctx, left):
    results = yield task.when_all([ctx.call_activity(plus_one, input=left), ctx.call_sub_orchestrator(counts_to, input=[1, 2])])
    if left > 0:
        ctx.continue_as_new(left - 1)
        return
    return results


@feature.scenario("each generation gets the input that the one before gave it, and the last one's output is the instance's")
def _(hub):
    instance = hub.start(counts_to, [1, 20])
    expect(hub.output(instance), [20, None])
    expect(parse(hub.state(instance).serialized_input), [20, 20], "the visible input")


@feature.scenario("only the last generation's history is kept, under another execution id, and the time of creation stays")
def _(hub):
    instance = hub.start(takes_one_a_generation, [[], 2])
    before = eventually("it has begun", lambda: hub.until(instance, "RUNNING"))
    first = hub.history(instance)[1].orchestration_instance.execution_id
    hub.client.raise_orchestration_event(instance, "item", data=1)

    def replaced():
        # Empty until the first turn of a generation is committed.
        events = hub.history(instance)
        return len(events) > 1 and events[1].orchestration_instance.execution_id != first

    eventually("it has another execution id", replaced)
    hub.client.raise_orchestration_event(instance, "item", data=2)
    expect(hub.output(instance), [1, 2])
    expect(
        hub.events(instance),
        ["OrchestratorStarted", "ExecutionStarted", "OrchestratorStarted", "EventRaised", "ExecutionCompleted"],
    )
    expect(hub.state(instance).created_at, before.created_at, "the time of creation")


@feature.scenario("events that a generation did not take are handed to the next if it asks for that, none lost, in order")
def _(hub):
    instance = hub.start(takes_one_a_generation, [[], 250])
    for number in range(250):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    expect(hub.output(instance), list(range(250)))


@feature.scenario("events that a generation did not take are dropped if it does not ask for them")
def _(hub):
    instance = hub.start(drops_what_it_did_not_take, 1)
    hub.says(instance, "first")
    hub.client.raise_orchestration_event(instance, "item", data="old")
    hub.client.raise_orchestration_event(instance, "next")
    hub.says(instance, "second")
    hub.client.raise_orchestration_event(instance, "end")
    expect(hub.output(instance), "no item")


@feature.scenario("the custom status that a generation set stays through later ones that set none")
def _(hub):
    # The SDK sends no custom status in a turn in which none was set. That clears what the same generation has set, and no more.
    instance = hub.start(sets_its_status_once, 2)
    eventually("it waits in the last generation", lambda: len(hub.events(instance)) == 2 and hub.state(instance))
    hub.client.raise_orchestration_event(instance, "end")
    expect_status(hub.ended(instance), "COMPLETED")
    expect(hub.state(instance).serialized_custom_status, '"set in the first generation"', "the custom status")


@feature.scenario("activities, timers and children of an earlier generation do not reach a later one")
def _(hub):
    expect(hub.run(leaves_work_behind, 1), 2)


@feature.scenario("events that are sent together with continue-as-new arrive, once each")
def _(hub):
    receiver = hub.start(takes_three)
    hub.says(receiver, "waiting")
    expect(hub.run(tells_while_it_continues, [receiver, 1]), "told")
    expect(hub.output(receiver), [1, 2, 3])


@feature.scenario("a generation can move to another version")
def _(hub):
    expect(hub.run(moves_to_a_version, True, version="1.0"), "2.0")


@feature.scenario("the version stays if a generation does not change it")
def _(hub):
    expect(hub.run(counts_to, [1, 3], version="1.5"), [3, "1.5"])


@feature.scenario("default ids of children repeat in each generation, and each one gets its own child")
def _(hub):
    expect(hub.run(makes_children_each_generation, 3), [1, [2, None]])


@feature.scenario("an instance that continues as new can be terminated and waited for")
def _(hub):
    instance = hub.start(takes_one_a_generation, [[], 1000])
    hub.client.raise_orchestration_event(instance, "item")
    hub.client.terminate_orchestration(instance, output="stop")
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("a client waits for an orchestrator in WebAssembly through its generations")
def _(hub):
    expect(hub.run("generations", 20), 0)


@feature.scenario("events of a Python client reach the generations of an orchestrator in WebAssembly, none lost, in order")
def _(hub):
    instance = hub.start("foreign_items", {"taken": [], "count": 250})
    for number in range(250):
        hub.client.raise_orchestration_event(instance, "Item", data=number)
    expect(hub.output(instance), list(range(250)))
