"""Suspend, resume, terminate, and what an instance says of itself."""

import threading
from datetime import datetime, timedelta, timezone

from hub import Feature, eventually, expect, expect_in, expect_status, parse, refused

feature = Feature()


# Activities that wait until a scenario lets them end, by a key.
gates = {}


@feature.activity
def waits_at_gate(_, key):
    assert gates[key].wait(30)
    return "let through"


@feature.activity
def notices(_, __):
    return "noticed"


@feature.orchestrator
def waits_for_three(ctx, _):
    ctx.set_custom_status("waiting")
    taken = []
    for _ in range(3):
        taken.append((yield ctx.wait_for_external_event("item")))
        ctx.set_custom_status(taken)
    return taken


@feature.orchestrator
def waits_for_go(ctx, _):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("go"))


@feature.orchestrator
def works(ctx, _):
    ctx.set_custom_status("working")
    return (yield ctx.call_activity(waits_at_gate, input=ctx.instance_id))


@feature.orchestrator
def bystander(ctx, _):
    return (yield ctx.call_activity(notices))


@feature.orchestrator
def naps(ctx, millis):
    ctx.set_custom_status("napping")
    yield ctx.create_timer(timedelta(milliseconds=millis))
    return "awake"


@feature.orchestrator
def has_children(ctx, names):
    children = [
        ctx.call_sub_orchestrator(name, input=None, instance_id=f"{ctx.instance_id}-{n}") for n, name in enumerate(names)
    ]
    ctx.set_custom_status("waiting")
    for child in children:
        yield child


@feature.orchestrator
def has_a_grandchild(ctx, _):
    ctx.set_custom_status("waiting")
    yield ctx.call_sub_orchestrator(has_children, input=["waits_for_go"], instance_id=f"{ctx.instance_id}-child")


@feature.orchestrator
def says_different_things(ctx, _):
    for word in ["one", {"two": [2]}, None, "ünïcödé 🌊"]:
        ctx.set_custom_status(word)
        yield ctx.wait_for_external_event("next")
    return "said"


def suspended(hub, instance):
    hub.client.suspend_orchestration(instance, reason="lunch")
    # Suspended by the time that the call returns.
    return expect_status(hub.state(instance), "SUSPENDED")


@feature.scenario("an instance is suspended when the call returns, keeps its events, and takes them in order when it is resumed")
def _(hub):
    instance = hub.start(waits_for_three)
    hub.says(instance, "waiting")
    hub.client.raise_orchestration_event(instance, "item", data=1)
    hub.says(instance, [1])
    suspended(hub, instance)
    for number in (2, 3):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    expect_status(hub.state(instance), "SUSPENDED")
    expect(parse(hub.state(instance).serialized_custom_status), [1], "the custom status while suspended")
    hub.client.resume_orchestration(instance, reason="lunch is over")
    expect(hub.output(instance), [1, 2, 3])
    expect_in("ExecutionSuspended", hub.events(instance))


@feature.scenario("suspending twice and resuming twice are no errors, and change nothing")
def _(hub):
    instance = hub.start(waits_for_go)
    hub.says(instance, "waiting")
    hub.client.resume_orchestration(instance)
    suspended(hub, instance)
    suspended(hub, instance)
    hub.client.resume_orchestration(instance)
    hub.client.resume_orchestration(instance)
    hub.until(instance, "RUNNING")
    hub.client.raise_orchestration_event(instance, "go", data="gone")
    expect(hub.output(instance), "gone")


@feature.scenario("the result of an activity that ends while its orchestration is suspended is kept until it is resumed")
def _(hub):
    instance = hub.id()
    gates[instance] = threading.Event()
    hub.start(works, instance_id=instance)
    hub.says(instance, "working")
    suspended(hub, instance)
    gates[instance].set()
    # Nothing tells a client that the result is there; but what is done later by the same worker is done after it.
    for _ in range(3):
        expect(hub.run(bystander), "noticed")
    expect_status(hub.state(instance), "SUSPENDED")
    hub.client.resume_orchestration(instance)
    expect(hub.output(instance), "let through")


@feature.scenario("a timer that is due while its orchestration is suspended fires when it is resumed")
def _(hub):
    instance = hub.start(naps, 1000)
    hub.says(instance, "napping")
    suspended(hub, instance)
    due = next(event.fire_at for event in hub.history(instance) if type(event).__name__ == "TimerCreatedEvent")
    eventually("the timer is overdue", lambda: datetime.now(timezone.utc) > due + timedelta(milliseconds=50))
    expect_status(hub.state(instance), "SUSPENDED")
    hub.client.resume_orchestration(instance)
    expect(hub.output(instance), "awake")


@feature.scenario("an instance can be suspended before it first runs")
def _(hub):
    instance = hub.start(waits_for_go, start_at=datetime.now(timezone.utc) + timedelta(milliseconds=200))
    hub.client.suspend_orchestration(instance)
    hub.client.raise_orchestration_event(instance, "go", data="later")
    hub.client.resume_orchestration(instance)
    expect(hub.output(instance), "later")


@feature.scenario("a terminated instance has the output that the client gave")
def _(hub):
    for output in ["enough", {"why": [1]}, None]:
        instance = hub.start(waits_for_go)
        hub.says(instance, "waiting")
        hub.client.terminate_orchestration(instance, output=output)
        state = expect_status(hub.ended(instance), "TERMINATED")
        expect(parse(state.serialized_output), output)


@feature.scenario("a suspended instance can be terminated")
def _(hub):
    instance = hub.start(waits_for_go)
    hub.says(instance, "waiting")
    suspended(hub, instance)
    hub.client.terminate_orchestration(instance, output="enough")
    expect(parse(expect_status(hub.ended(instance), "TERMINATED").serialized_output), "enough")


@feature.scenario("an instance whose start is still to come can be terminated")
def _(hub):
    instance = hub.start(waits_for_go, start_at=datetime.now(timezone.utc) + timedelta(hours=1))
    expect_status(hub.state(instance), "PENDING")
    hub.client.terminate_orchestration(instance, output="never mind")
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("an instance that no worker can run can be terminated")
def _(hub):
    instance = hub.start("nobody_runs_this")
    expect_status(hub.state(instance), "PENDING")
    hub.client.terminate_orchestration(instance, output="never mind")
    expect(parse(expect_status(hub.ended(instance), "TERMINATED").serialized_output), "never mind")


@feature.scenario("terminating an instance that has ended changes nothing")
def _(hub):
    instance = hub.start(naps, 1)
    expect(hub.output(instance), "awake")
    hub.client.terminate_orchestration(instance, output="too late")
    expect(hub.output(instance), "awake")


@feature.scenario("to terminate, suspend or resume an instance that does not exist is NOT_FOUND")
def _(hub):
    for call in (
        hub.client.terminate_orchestration,
        hub.client.suspend_orchestration,
        hub.client.resume_orchestration,
    ):
        refused("NOT_FOUND", lambda: call(hub.id("nobody")))


@feature.scenario("a recursive termination reaches children and grandchildren")
def _(hub):
    top = hub.start(has_a_grandchild)
    grandchild = f"{top}-child-0"
    hub.says(grandchild, "waiting")
    hub.client.terminate_orchestration(top, output="all of you", recursive=True)
    for instance in (top, f"{top}-child", grandchild):
        expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("a termination that is not recursive leaves the children running")
def _(hub):
    top = hub.start(has_children, ["waits_for_go", "waits_for_go"])
    for number in range(2):
        hub.says(f"{top}-{number}", "waiting")
    hub.client.terminate_orchestration(top, recursive=False)
    expect_status(hub.ended(top), "TERMINATED")
    for number in range(2):
        expect_status(hub.state(f"{top}-{number}"), "RUNNING")
        hub.client.raise_orchestration_event(f"{top}-{number}", "go", data=number)
        expect(hub.output(f"{top}-{number}"), number)


@feature.scenario("a recursive termination spares children that have ended")
def _(hub):
    top = hub.start(has_children, ["waits_for_go", "waits_for_go"])
    for number in range(2):
        hub.says(f"{top}-{number}", "waiting")
    hub.client.raise_orchestration_event(f"{top}-0", "go", data="done")
    expect(hub.output(f"{top}-0"), "done")
    hub.client.terminate_orchestration(top)
    expect_status(hub.ended(f"{top}-1"), "TERMINATED")
    expect(hub.output(f"{top}-0"), "done")


@feature.scenario("a recursive termination reaches suspended children")
def _(hub):
    top = hub.start(has_children, ["waits_for_go"])
    hub.says(f"{top}-0", "waiting")
    suspended(hub, f"{top}-0")
    hub.client.terminate_orchestration(top)
    expect_status(hub.ended(f"{top}-0"), "TERMINATED")


@feature.scenario("the custom status is what the orchestrator said last, and nothing after it took it back")
def _(hub):
    instance = hub.start(says_different_things)
    for word in ["one", {"two": [2]}]:
        hub.says(instance, word)
        hub.client.raise_orchestration_event(instance, "next")
    eventually("it is taken back", lambda: hub.state(instance).serialized_custom_status is None)
    hub.client.raise_orchestration_event(instance, "next")
    eventually("it says more", lambda: parse(hub.state(instance).serialized_custom_status) == "ünïcödé 🌊")
    hub.client.raise_orchestration_event(instance, "next")
    expect(hub.output(instance), "said")
    expect(parse(hub.state(instance).serialized_custom_status), "ünïcödé 🌊")
    # Returned whether payloads are asked for or not.
    brief = hub.client.get_orchestration_state(instance, fetch_payloads=False)
    expect(parse(brief.serialized_custom_status), "ünïcödé 🌊")


@feature.scenario("tags that an instance is started with are handed to the orchestrator and recorded")
def _(hub):
    tags = {"colour": "red", "größe": "", "a b": "🌊"}
    instance = hub.start("started_with", {"x": 1}, tags=tags)
    expect(dict(hub.output(instance)["tags"]), tags)
    expect(hub.history(instance)[1].tags, tags)


@feature.scenario("an orchestrator in WebAssembly can be suspended, resumed and terminated by a Python client")
def _(hub):
    instance = hub.start("approval", 60_000)
    hub.says(instance, "waiting for the approval")
    suspended(hub, instance)
    hub.client.raise_orchestration_event(instance, "approval", data="late")
    expect_status(hub.state(instance), "SUSPENDED")
    hub.client.resume_orchestration(instance)
    expect_in("late", hub.output(instance))
    instance = hub.start("forever")
    hub.until(instance, "RUNNING")
    hub.client.terminate_orchestration(instance, output="enough")
    expect(parse(expect_status(hub.ended(instance), "TERMINATED").serialized_output), "enough")


@feature.scenario("a recursive termination goes from a Python parent to a child in WebAssembly")
def _(hub):
    top = hub.start(has_children, ["forever"])
    hub.until(f"{top}-0", "RUNNING")
    hub.client.terminate_orchestration(top)
    expect_status(hub.ended(f"{top}-0"), "TERMINATED")


@feature.scenario("a recursive termination goes from a parent in WebAssembly to a Python child and its children")
def _(hub):
    top = hub.start("start_foreign", {"name": "has_children", "input": ["waits_for_go"]})
    created = eventually(
        "the child is created",
        lambda: [e for e in hub.history(top) if type(e).__name__ == "SubOrchestrationInstanceCreatedEvent"],
    )
    middle = created[0].instance_id
    hub.says(f"{middle}-0", "waiting")
    hub.client.terminate_orchestration(top)
    for instance in (top, middle, f"{middle}-0"):
        expect_status(hub.ended(instance), "TERMINATED")
