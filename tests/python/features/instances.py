"""Starting instances, ids that are taken, and waiting for them."""

import threading
from datetime import datetime, timedelta, timezone

import durabletask.internal.orchestrator_service_pb2 as pb
from hub import Feature, expect, expect_in, expect_status, parse, refused

feature = Feature()

ALL = ["RUNNING", "COMPLETED", "FAILED", "TERMINATED", "PENDING", "SUSPENDED"]


def replaceable(*statuses):
    values = [pb.OrchestrationStatus.Value(f"ORCHESTRATION_STATUS_{status}") for status in statuses]
    return pb.OrchestrationIdReusePolicy(replaceableStatus=values)


@feature.orchestrator
def returns(ctx, input):
    return input


@feature.orchestrator
def fails_at_once(ctx, _):
    raise ValueError("at once")


@feature.orchestrator
def waits_to_go(ctx, input):
    ctx.set_custom_status("waiting")
    return [input, (yield ctx.wait_for_external_event("go"))]


@feature.orchestrator
def awaits_child(ctx, child):
    return (yield ctx.call_sub_orchestrator(waits_to_go, instance_id=child))


def soon(millis):
    return datetime.now(timezone.utc) + timedelta(milliseconds=millis)


@feature.scenario("an instance without an id gets one")
def _(hub):
    one, other = hub.client.schedule_new_orchestration(returns), hub.client.schedule_new_orchestration(returns)
    assert one and other and one != other, (one, other)
    expect_status(hub.ended(one), "COMPLETED")


@feature.scenario("ids may hold what other systems put into them")
def _(hub):
    for id in ["with space", "slash/es", "ünïcödé-🌊", "colon:s", "a@b", "%41", "x" * 900]:
        expect(hub.run(returns, id, instance_id=f"{hub.id()}{id}"), id)


@feature.scenario("a state has the name, the input, and times that do not run backwards")
def _(hub):
    before = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=5)
    instance = hub.start(returns, {"a": 1})
    state = hub.ended(instance)
    expect([state.instance_id, state.name, parse(state.serialized_input)], [instance, "returns", {"a": 1}])
    assert before < state.created_at <= state.last_updated_at, state


@feature.scenario("an instance starts when it is scheduled to, is pending until then, and a time in the past means now")
def _(hub):
    at = soon(400)
    instance = hub.start(returns, 1, start_at=at)
    expect_status(hub.state(instance), "PENDING")
    state = hub.client.wait_for_orchestration_start(instance, timeout=30)
    assert datetime.now(timezone.utc) >= at, "it started early"
    assert state.runtime_status.name != "PENDING", state
    expect(hub.output(instance), 1)
    recorded = hub.history(instance)[1].scheduled_start_timestamp
    expect(recorded.replace(tzinfo=timezone.utc), at)
    expect(hub.run(returns, 2, start_at=soon(-1000)), 2)


@feature.scenario("an id that is taken is ALREADY_EXISTS, also when that instance has ended")
def _(hub):
    for name, status in ((returns, "COMPLETED"), (fails_at_once, "FAILED"), (waits_to_go, "RUNNING")):
        instance = hub.start(name)
        hub.until(instance, status)
        expect_in(instance, refused("ALREADY_EXISTS", lambda: hub.start(returns, instance_id=instance)))


@feature.scenario("a policy that lets nothing be replaced refuses an id that is taken")
def _(hub):
    instance = hub.start(returns)
    hub.output(instance)
    refused("ALREADY_EXISTS", lambda: hub.start(returns, instance_id=instance, reuse_id_policy=replaceable()))
    refused("ALREADY_EXISTS", lambda: hub.start(returns, instance_id=instance, reuse_id_policy=replaceable("FAILED")))


@feature.scenario("a policy that lets ended instances be replaced replaces them, history and all")
def _(hub):
    for name, status in ((returns, "COMPLETED"), (fails_at_once, "FAILED")):
        instance = hub.start(name, "old")
        hub.until(instance, status)
        first = hub.history(instance)[1].orchestration_instance.execution_id
        hub.start(returns, "new", instance_id=instance, reuse_id_policy=replaceable(status))
        expect(hub.output(instance), "new")
        events = hub.history(instance)
        expect(len(events), 3, "events of the new instance alone")
        assert events[1].orchestration_instance.execution_id != first


@feature.scenario("a policy that lets a running instance be replaced terminates it, and tells its parent and those who wait")
def _(hub):
    child = hub.id("child")
    parent = hub.start(awaits_child, child)
    hub.says(child, "waiting")
    states = []
    waiter = threading.Thread(target=lambda: states.append(hub.ended(child)))
    waiter.start()
    hub.start(returns, "new", instance_id=child, reuse_id_policy=replaceable("RUNNING", "TERMINATED"))
    expect(hub.output(child), "new")
    expect_status(hub.ended(parent), "FAILED")
    waiter.join(30)
    assert states and states[0].runtime_status.name in ("TERMINATED", "COMPLETED"), states


@feature.scenario("results of a replaced instance do not reach the one that took its place")
def _(hub):
    instance = hub.start(waits_to_go, "old")
    hub.says(instance, "waiting")
    hub.start(waits_to_go, "new", instance_id=instance, reuse_id_policy=replaceable("RUNNING", "TERMINATED"))
    hub.client.raise_orchestration_event(instance, "go", data=1)
    expect(hub.output(instance), ["new", 1])
    expect(hub.events(instance).count("ExecutionStarted"), 1)


@feature.scenario("a policy that lets a running instance be replaced, but not a terminated one, is INVALID_ARGUMENT")
def _(hub):
    refused("INVALID_ARGUMENT", lambda: hub.start(returns, reuse_id_policy=replaceable("RUNNING")))


@feature.scenario("of many starts under one id exactly one wins")
def _(hub):
    instance, won, lost = hub.id(), [], []

    def start(number):
        try:
            won.append((hub.start(returns, number, instance_id=instance), number))
        except Exception as error:
            lost.append(error.code().name)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect([len(won), set(lost)], [1, {"ALREADY_EXISTS"}])
    expect(hub.output(instance), won[0][1])


@feature.scenario("a start without a name, or under an id of an entity, is INVALID_ARGUMENT")
def _(hub):
    refused("INVALID_ARGUMENT", lambda: hub.client.schedule_new_orchestration("", instance_id=hub.id()))
    refused("INVALID_ARGUMENT", lambda: hub.start(returns, instance_id="@entity@key"))
    refused("INVALID_ARGUMENT", lambda: hub.start(returns, instance_id="x" * 1025))


@feature.scenario("waiting for the start returns when it has started, and at once when it has ended")
def _(hub):
    instance = hub.start(waits_to_go, "input")
    state = hub.client.wait_for_orchestration_start(instance, fetch_payloads=True, timeout=30)
    expect([state.runtime_status.name, parse(state.serialized_input)], ["RUNNING", "input"])
    hub.client.raise_orchestration_event(instance, "go")
    hub.output(instance)
    expect_status(hub.client.wait_for_orchestration_start(instance, timeout=30), "COMPLETED")


@feature.scenario("waiting returns payloads only if they are asked for")
def _(hub):
    instance = hub.start(returns, "in")
    state = hub.client.wait_for_orchestration_completion(instance, fetch_payloads=False, timeout=30)
    expect([state.runtime_status.name, state.serialized_input, state.serialized_output], ["COMPLETED", None, None])
    state = hub.client.wait_for_orchestration_completion(instance, timeout=30)
    expect([state.serialized_input, state.serialized_output], ['"in"', '"in"'])


@feature.scenario("waiting ends when the client's patience does")
def _(hub):
    instance = hub.start(waits_to_go)
    hub.says(instance, "waiting")
    try:
        hub.client.wait_for_orchestration_completion(instance, timeout=0.2)
        raise AssertionError("it did not time out")
    except TimeoutError:
        pass


@feature.scenario("an instance that does not exist has no state, and waiting for it ends at once")
def _(hub):
    nobody = hub.id("nobody")
    expect(hub.state(nobody), None)
    expect(hub.client.wait_for_orchestration_start(nobody, timeout=30), None)
    expect(hub.client.wait_for_orchestration_completion(nobody, timeout=30), None)


@feature.scenario("many wait for one instance, and all are told")
def _(hub):
    instance, outputs = hub.start(waits_to_go, "x"), []
    threads = [threading.Thread(target=lambda: outputs.append(hub.output(instance))) for _ in range(30)]
    for thread in threads:
        thread.start()
    hub.says(instance, "waiting")
    hub.client.raise_orchestration_event(instance, "go", data=1)
    for thread in threads:
        thread.join(30)
    expect(outputs, [["x", 1]] * 30)


@feature.scenario("a Python client starts orchestrators in WebAssembly, with all that it can give them")
def _(hub):
    at, instance = soon(200), hub.id("wasm")
    hub.start("started_with", {"a": [1]}, instance_id=instance, start_at=at, tags={"t": "1"})
    out = hub.output(instance)
    expect([out["id"], out["name"], out["input"], out["tags"]], [instance, "started_with", {"a": [1]}, [["t", "1"]]])
    assert datetime.now(timezone.utc) >= at
    refused("ALREADY_EXISTS", lambda: hub.start("started_with", instance_id=instance))
    hub.start("started_with", 2, instance_id=instance, reuse_id_policy=replaceable("COMPLETED"))
    expect(hub.output(instance)["input"], 2)
