"""Sub-orchestrations: ids, results, failures, parents and children in Python and in WebAssembly."""

from durabletask import task
from hub import Feature, eventually, expect, expect_in, expect_status

feature = Feature()


@feature.activity
def add_one(_, number):
    return number + 1


@feature.activity
def no_bread(_, __):
    raise LookupError("no bread")


@feature.orchestrator
def adds_one(ctx, number):
    return (yield ctx.call_activity(add_one, input=number))


@feature.orchestrator
def tells_its_parent(ctx, _):
    return [ctx.instance_id, ctx.parent_instance_id]


@feature.orchestrator
def fails_for_bread(ctx, _):
    yield ctx.call_activity(no_bread)


@feature.orchestrator
def waits(ctx, _):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("go"))


@feature.orchestrator
def counts_down(ctx, left):
    if left > 0:
        yield ctx.call_activity(add_one, input=left)
        ctx.continue_as_new(left - 1)
        return None
    return f"none left for {ctx.parent_instance_id}"


@feature.orchestrator
def nests(ctx, depth):
    if depth == 0:
        return [ctx.instance_id]
    below = yield ctx.call_sub_orchestrator(nests, input=depth - 1)
    return [ctx.instance_id, *below]


@feature.orchestrator
def calls(ctx, call):
    """Runs a child by name, under an id if one is given."""
    child = ctx.call_sub_orchestrator(call["name"], input=call.get("input"), instance_id=call.get("id"))
    ctx.set_custom_status("waiting for the child")
    try:
        return (yield child)
    except task.TaskFailedError as error:
        if call.get("catch"):
            details = error.details
            inner = details.inner_failure and details.inner_failure.message
            return [details.error_type, details.message, inner]
        raise


@feature.orchestrator
def calls_twice(ctx, id):
    first = yield ctx.call_sub_orchestrator(adds_one, input=1, instance_id=id)
    second = yield ctx.call_sub_orchestrator(adds_one, input=first, instance_id=id)
    return [first, second]


@feature.orchestrator
def fans_out_children(ctx, width):
    children = [ctx.call_sub_orchestrator(adds_one, input=number) for number in range(width)]
    return (yield task.when_all(children))


@feature.orchestrator
def starts_and_forgets(ctx, child):
    ctx.call_sub_orchestrator(adds_one, input=41, instance_id=child)
    return "gone"


@feature.scenario("a child returns its result, under the id that it is given")
def _(hub):
    child = hub.id("child")
    expect(hub.run(calls, {"name": "adds_one", "input": 1, "id": child}), 2)
    expect(hub.output(child), 2)


@feature.scenario("a child without an id gets its parent's and its number, and knows its parent")
def _(hub):
    parent = hub.start(calls, {"name": "tells_its_parent"})
    expect(hub.output(parent), [f"{parent}:0001", parent])


@feature.scenario("children nest")
def _(hub):
    top = hub.start(nests, 4)
    expect(hub.output(top), [top + ":0001" * depth for depth in range(5)])


@feature.scenario("30 children side by side come back in order")
def _(hub):
    expect(hub.run(fans_out_children, 30), list(range(1, 31)))


@feature.scenario("a child that fails fails its parent, with the child's failure as the cause")
def _(hub):
    failure = hub.failure(calls, {"name": "fails_for_bread"})
    causes = []
    while failure:
        causes.append(failure.message)
        failure = failure.inner_failure
    expect(causes[-1], "no bread")
    expect(len(causes), 3, "parent, child, activity")


@feature.scenario("a parent can catch the failure of its child, which comes through unchanged")
def _(hub):
    child = hub.id("child")
    type_, message, inner = hub.run(calls, {"name": "fails_for_bread", "id": child, "catch": True})
    own = hub.ended(child).failure_details
    expect([type_, message, inner], [own.error_type, own.message, "no bread"])


@feature.scenario("a child that is terminated fails its parent")
def _(hub):
    child = hub.id("child")
    parent = hub.start(calls, {"name": "waits", "id": child, "catch": True})
    hub.says(child, "waiting")
    hub.client.terminate_orchestration(child, output="enough")
    expect_in("terminated", hub.output(parent)[1].lower())


@feature.scenario("a child under the id of a running instance fails, and does not touch that instance")
def _(hub):
    taken = hub.start(waits)
    hub.says(taken, "waiting")
    _, message, _ = hub.run(calls, {"name": "adds_one", "input": 1, "id": taken, "catch": True})
    expect_in(taken, message)
    hub.client.raise_orchestration_event(taken, "go", data="still here")
    expect(hub.output(taken), "still here")


@feature.scenario("a child under the id of a finished instance replaces it")
def _(hub):
    expect(hub.run(calls_twice, hub.id("child")), [2, 3])


@feature.scenario("a child that continues as new answers its parent from its last generation")
def _(hub):
    parent = hub.start(calls, {"name": "counts_down", "input": 5})
    expect(hub.output(parent), f"none left for {parent}")


@feature.scenario("a child that its parent does not wait for runs on when the parent has ended")
def _(hub):
    child = hub.id("child")
    expect(hub.run(starts_and_forgets, child), "gone")
    eventually("the child is there", lambda: hub.state(child))
    expect(hub.output(child), 42)


@feature.scenario("an event reaches a child by its id")
def _(hub):
    parent = hub.start(calls, {"name": "waits"})
    hub.says(f"{parent}:0001", "waiting")
    hub.client.raise_orchestration_event(f"{parent}:0001", "go", data=[1])
    expect(hub.output(parent), [1])


@feature.scenario("a Python parent runs children in WebAssembly, under default ids and under given ones")
def _(hub):
    parent = hub.start(calls, {"name": "started_with", "input": {"a": 1}})
    child = hub.output(parent)
    expect([child["id"], child["parent"], child["input"]], [f"{parent}:0001", parent, {"a": 1}])
    given = hub.id("child")
    expect(hub.run(calls, {"name": "started_with", "id": given})["id"], given)


@feature.scenario("a Python parent sees the failure of a child in WebAssembly, and its cause")
def _(hub):
    type_, message, inner = hub.run(calls, {"name": "fail_with_causes", "catch": True})
    expect_in("reading the number", message)
    expect_in("invalid digit", inner)


@feature.scenario("a child in WebAssembly that continues as new answers its Python parent")
def _(hub):
    expect(hub.run(calls, {"name": "generations", "input": 5}), 0)


@feature.scenario("a parent in WebAssembly runs a child in Python")
def _(hub):
    parent = hub.start("start_foreign", {"name": "tells_its_parent", "input": None})
    child, its_parent = hub.output(parent)
    expect(its_parent, parent)
    assert child.startswith(f"{parent}:"), child


@feature.scenario("a parent in WebAssembly sees the failure of a child in Python, down to the activity's")
def _(hub):
    failure = hub.failure("start_foreign", {"name": "fails_for_bread", "input": None})
    while failure.inner_failure:
        failure = failure.inner_failure
    expect([failure.error_type, failure.message], ["builtins.LookupError", "no bread"])


@feature.scenario("a Python child that continues as new answers its parent in WebAssembly")
def _(hub):
    parent = hub.start("start_foreign", {"name": "counts_down", "input": 3})
    expect(hub.output(parent), f"none left for {parent}")


@feature.scenario("Python, WebAssembly and Python again: three levels")
def _(hub):
    middle = {"name": "start_foreign", "input": {"name": "adds_one", "input": 6}}
    expect(hub.run(calls, middle), 7)


@feature.scenario("a parent in WebAssembly gives its Python child an id, and runs 30 of them side by side")
def _(hub):
    child = hub.id("child")
    expect(hub.run("foreign_call", {"name": "adds_one", "child": True, "id": child, "input": 1}), 2)
    expect(hub.output(child), 2)
    family = [{"name": "adds_one", "child": True, "input": number} for number in range(30)]
    expect(hub.run("foreign_calls", family), list(range(1, 31)))


@feature.scenario("a parent in WebAssembly catches that its Python child was terminated")
def _(hub):
    child = hub.id("child")
    parent = hub.start("foreign_failure", {"name": "waits", "child": True, "id": child})
    eventually("the child is there", lambda: hub.state(child))
    hub.says(child, "waiting")
    hub.client.terminate_orchestration(child, output="enough")
    expect_in("terminated", hub.output(parent)[0][1].lower())


@feature.scenario("a parent in WebAssembly whose child's id is taken by a running Python instance is told so")
def _(hub):
    taken = hub.start(waits)
    hub.says(taken, "waiting")
    failure = hub.run("foreign_failure", {"name": "adds_one", "child": True, "id": taken, "input": 1})
    expect_in(taken, failure[0][1])
    expect_status(hub.state(taken), "RUNNING")
