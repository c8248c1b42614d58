"""What histories hold, how they are exported, large payloads, and long histories."""

import json
from datetime import timedelta

from durabletask import task
from durabletask.grpc_options import GrpcChannelOptions
from hub import Feature, eventually, expect, expect_in, expect_status, refused

MIB = 1 << 20

# The SDK takes messages of 4 MiB unless it is told to take larger ones, as its users do who have long histories.
feature = Feature(channel_options=GrpcChannelOptions(max_receive_message_length=64 * MIB))


@feature.activity
def repeat(_, input):
    text, count = input
    return text * count


@feature.activity
def length(_, text):
    return len(text)


@feature.orchestrator
def one_of_each(ctx, _):
    """An activity, a timer, a child, one after the other."""
    yield ctx.call_activity(length, input="abc", tags={"a": "1"})
    yield ctx.create_timer(timedelta(milliseconds=1))
    yield ctx.call_sub_orchestrator(child_of_one, input="in")
    return "done"


@feature.orchestrator
def child_of_one(ctx, input):
    return input


@feature.orchestrator
def takes_its_time(ctx, _):
    yield ctx.call_activity(length, input="")
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("end")


@feature.orchestrator
def gets_large(ctx, bytes):
    text = yield ctx.call_activity(repeat, input=["x", bytes])
    return (yield ctx.call_activity(length, input=text))


@feature.orchestrator
def gets_many_large(ctx, input):
    count, bytes = input
    lengths = 0
    for _ in range(count):
        lengths += len((yield ctx.call_activity(repeat, input=["x", bytes])))
    return lengths


@feature.orchestrator
def returns_large(ctx, bytes):
    return "x" * bytes


@feature.orchestrator
def says_large(ctx, bytes):
    ctx.set_custom_status("x" * bytes)
    return "said"


@feature.orchestrator
def takes_large(ctx, _):
    ctx.set_custom_status("waiting")
    return len((yield ctx.wait_for_external_event("large")))


@feature.orchestrator
def gives_child_large(ctx, bytes):
    return (yield ctx.call_sub_orchestrator(returns_length, input="x" * bytes))


@feature.orchestrator
def returns_length(ctx, text):
    return len(text)


@feature.orchestrator
def wide(ctx, width):
    results = yield task.when_all([ctx.call_activity(length, input="x" * (number % 10)) for number in range(width)])
    return sum(results)


@feature.orchestrator
def deep(ctx, depth):
    total = 0
    for number in range(depth):
        total += yield ctx.call_activity(length, input="x" * (number % 10))
    return total


@feature.scenario("an activity, a timer and a child make this history, and no other events")
def _(hub):
    instance = hub.start(one_of_each)
    expect(hub.output(instance), "done")
    events = hub.history(instance)
    kinds = [f"{type(event).__name__.removesuffix('Event')} {event.event_id}" for event in events]
    expect(
        kinds,
        [
            "OrchestratorStarted -1",
            "ExecutionStarted -1",
            "TaskScheduled 1",
            "OrchestratorStarted -1",
            "TaskCompleted -1",
            "TimerCreated 2",
            "OrchestratorStarted -1",
            "TimerFired -1",
            "SubOrchestrationInstanceCreated 3",
            "OrchestratorStarted -1",
            "SubOrchestrationInstanceCompleted -1",
            "ExecutionCompleted 4",
        ],
    )
    expect([events[2].name, events[2].input, events[2].tags], ["length", '"abc"', {"a": "1"}])
    expect([events[4].task_scheduled_id, events[4].result], [1, "3"])
    expect([events[8].instance_id, events[8].name, events[8].input], [f"{instance}:0003", "child_of_one", '"in"'])
    expect(events[11].result, '"done"')


@feature.scenario("the times of turns increase")
def _(hub):
    instance = hub.start(deep, 20)
    hub.output(instance)
    times = [event.timestamp for event in hub.history(instance) if type(event).__name__ == "OrchestratorStartedEvent"]
    expect([earlier < later for earlier, later in zip(times, times[1:])], [True] * 20)


@feature.scenario("the history of a child says who its parent is, and which call of it")
def _(hub):
    instance = hub.start(one_of_each)
    hub.output(instance)
    parent = hub.history(f"{instance}:0003")[1].parent_instance
    expect([parent.name, parent.task_scheduled_id], ["one_of_each", 3])
    own = hub.history(instance)[1].orchestration_instance
    expect([parent.orchestration_instance.instance_id, parent.orchestration_instance.execution_id], [instance, own.execution_id])


@feature.scenario("a history is exported as JSON")
def _(hub):
    instance = hub.start(one_of_each)
    hub.output(instance)
    exported = json.loads(json.dumps([event.to_dict() for event in hub.history(instance)]))
    expect([len(exported), exported[1]["name"]], [12, "one_of_each"])


@feature.scenario("the history of a running instance is what is committed")
def _(hub):
    instance = hub.start(takes_its_time)
    hub.says(instance, "waiting")
    expect(
        hub.events(instance),
        ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorStarted", "TaskCompleted"],
    )


@feature.scenario("a history is found by its execution; another execution, or instance, is NOT_FOUND")
def _(hub):
    instance = hub.start(one_of_each)
    hub.output(instance)
    execution = hub.history(instance)[1].orchestration_instance.execution_id
    expect(len(hub.client.get_orchestration_history(instance, execution_id=execution)), 12)
    refused("NOT_FOUND", lambda: hub.client.get_orchestration_history(instance, execution_id="0" * 32))
    refused("NOT_FOUND", lambda: hub.history(hub.id("nobody")))


# A payload is JSON: two quotes and the text.
LARGEST = MIB - 2


@feature.scenario("inputs, outputs, results, events and statuses of 1 MiB pass")
def _(hub):
    expect(hub.run(returns_length, "x" * LARGEST), LARGEST)
    expect(len(hub.run(returns_large, LARGEST)), LARGEST)
    expect(hub.run(gets_large, LARGEST), LARGEST)
    expect(hub.run(gives_child_large, LARGEST), LARGEST)
    expect(hub.run(says_large, LARGEST), "said")
    instance = hub.start(takes_large)
    hub.client.raise_orchestration_event(instance, "large", data="x" * LARGEST)
    expect(hub.output(instance), LARGEST)


@feature.scenario("a client's payload over 1 MiB is INVALID_ARGUMENT, and says how large it is")
def _(hub):
    large = "x" * (LARGEST + 1)
    refused("INVALID_ARGUMENT", lambda: hub.start(returns_length, large))
    instance = hub.start(takes_large)
    hub.says(instance, "waiting")
    refused("INVALID_ARGUMENT", lambda: hub.client.raise_orchestration_event(instance, "large", data=large))
    refused("INVALID_ARGUMENT", lambda: hub.client.terminate_orchestration(instance, output=large))
    expect_status(hub.state(instance), "RUNNING")


@feature.scenario("an orchestrator's payload over 1 MiB fails it, and an activity's fails the call")
def _(hub):
    for name in (returns_large, says_large, gives_child_large):
        expect(hub.failure(name, LARGEST + 1).error_type, "PayloadTooLarge", name.__name__)
    failure = hub.failure(gets_large, LARGEST + 1)
    expect(failure.inner_failure.error_type, "PayloadTooLarge")


@feature.scenario("a history of several thousand events completes, and is exported whole and in order")
def _(hub):
    instance = hub.start(wide, 1500)
    expect(hub.output(instance), 6750)
    events = hub.history(instance)
    assert len(events) > 3003, len(events)
    scheduled = [event.event_id for event in events if type(event).__name__ == "TaskScheduledEvent"]
    expect(scheduled, list(range(1, 1501)))
    answered = [event.task_scheduled_id for event in events if type(event).__name__ == "TaskCompletedEvent"]
    expect(sorted(answered), scheduled)


@feature.scenario("an orchestration of a hundred and fifty turns completes")
def _(hub):
    expect(hub.run(deep, 150), 675)


@feature.scenario("a history of more than 4 MiB is streamed to clients, and handed to workers that take messages of that size")
def _(hub):
    instance = hub.start(gets_many_large, [8, MIB - 100])
    expect(hub.output(instance), 8 * (MIB - 100))
    expect(hub.events(instance).count("TaskCompleted"), 8)


@feature.scenario("a history that is too large for its worker's messages stops only its own instance, until another worker takes it")
def _(hub):
    @named("grows_too_large")
    def grows(ctx, _):
        for _ in range(6):
            yield ctx.call_activity(repeat, input=["x", MIB - 100])
        return "grown"

    small = hub.work([grows])
    instance = hub.start("grows_too_large")
    # The fourth result does not fit into 4 MiB together with the other three.
    eventually("it has grown", lambda: hub.events(instance).count("TaskCompleted") == 3)
    expect(hub.run(returns_length, "meanwhile"), 9)
    hub.work([grows], channel_options=GrpcChannelOptions(max_receive_message_length=64 * MIB))
    expect(hub.output(instance), "grown")
    del small


@feature.scenario("the history of an orchestrator in WebAssembly is exported too")
def _(hub):
    instance = hub.start("hello_cities")
    expect(len(hub.output(instance)), 5)
    events = hub.history(instance)
    names = [event.name for event in events if type(event).__name__ == "TaskScheduledEvent"]
    expect(names, ["say_hello"] * 5)
    expect_in("Hello", [event.result for event in events if type(event).__name__ == "TaskCompletedEvent"][0])


@feature.scenario("large payloads pass between Python and WebAssembly")
def _(hub):
    expect(len(hub.run("large_output", LARGEST)), LARGEST)
    text = "x" * (MIB - 200)
    expect(hub.run("call_foreign", {"name": "length", "input": text}), len(text))


def named(name):
    def rename(function):
        function.__name__ = name
        return function

    return rename
