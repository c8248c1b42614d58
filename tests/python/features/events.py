"""External events: names, order, buffers, races with timers, senders and receivers in Python and in WebAssembly."""

from datetime import datetime, timedelta, timezone

from durabletask import task
from hub import Feature, expect, expect_in, expect_status, refused

feature = Feature()


@feature.activity
def does_nothing(_, __):
    return None


@feature.orchestrator
def takes(ctx, names):
    """Waits for events one after the other."""
    ctx.set_custom_status("waiting")
    taken = []
    for name in names:
        taken.append((yield ctx.wait_for_external_event(name)))
    return taken


@feature.orchestrator
def takes_late(ctx, count):
    """Does not wait until it is told to, while other events come."""
    ctx.set_custom_status("busy")
    yield ctx.wait_for_external_event("now")
    taken = []
    for _ in range(count):
        taken.append((yield ctx.wait_for_external_event("item")))
    return taken


@feature.orchestrator
def takes_all_at_once(ctx, count):
    ctx.set_custom_status("waiting")
    return (yield task.when_all([ctx.wait_for_external_event("item") for _ in range(count)]))


@feature.orchestrator
def waits_at_most(ctx, millis):
    event = ctx.wait_for_external_event("approval")
    timeout = ctx.create_timer(timedelta(milliseconds=millis))
    ctx.set_custom_status("waiting")
    winner = yield task.when_any([event, timeout])
    return event.get_result() if winner is event else "timed out"


@feature.orchestrator
def gives_up_a_wait(ctx, _):
    lost = ctx.wait_for_external_event("item")
    yield task.when_any([lost, ctx.create_timer(timedelta(milliseconds=1))])
    lost.cancel()
    ctx.set_custom_status("waiting again")
    return (yield ctx.wait_for_external_event("item"))


@feature.orchestrator
def sends(ctx, messages):
    for to, name, data in messages:
        ctx.send_event(to, name, data=data)
    yield ctx.call_activity(does_nothing)
    return "sent"


@feature.orchestrator
def sends_last(ctx, to):
    ctx.send_event(to, "item", data="with the completion")
    return "sent"


@feature.orchestrator
def talks_to_itself(ctx, _):
    ctx.send_event(ctx.instance_id, "echo", data="hello me")
    return (yield ctx.wait_for_external_event("echo"))


@feature.scenario("an event resolves the wait for its name, with its payload")
def _(hub):
    payloads = [None, 0, "", "text 🌊", [1, {"a": None}], {"deep": {"er": [True]}}]
    instance = hub.start(takes, ["e"] * len(payloads))
    hub.says(instance, "waiting")
    for payload in payloads:
        hub.client.raise_orchestration_event(instance, "e", data=payload)
    expect(hub.output(instance), payloads)


@feature.scenario("events that come before anybody waits are kept in order")
def _(hub):
    instance = hub.start(takes_late, 5)
    hub.says(instance, "busy")
    for number in range(5):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    hub.client.raise_orchestration_event(instance, "now")
    expect(hub.output(instance), [0, 1, 2, 3, 4])


@feature.scenario("events that are raised right after the start are there when the orchestrator first runs")
def _(hub):
    instance = hub.start(takes, ["b", "a"])
    hub.client.raise_orchestration_event(instance, "a", data=1)
    hub.client.raise_orchestration_event(instance, "b", data=2)
    expect(hub.output(instance), [2, 1])


@feature.scenario("an event to an instance whose start is still to come is kept for it")
def _(hub):
    instance = hub.start(takes, ["a"], start_at=datetime.now(timezone.utc) + timedelta(milliseconds=300))
    hub.client.raise_orchestration_event(instance, "a", data="early")
    expect_status(hub.state(instance), "PENDING")
    expect(hub.output(instance), ["early"])


@feature.scenario("names of events are compared without case, and recorded as they were sent")
def _(hub):
    instance = hub.start(takes, ["Approval", "äPPROVAL"])
    hub.says(instance, "waiting")
    hub.client.raise_orchestration_event(instance, "aPPROVAL", data=1)
    hub.client.raise_orchestration_event(instance, "ÄPProval", data=2)
    expect(hub.output(instance), [1, 2])
    names = [e.name for e in hub.history(instance) if type(e).__name__ == "EventRaisedEvent"]
    expect(names, ["aPPROVAL", "ÄPProval"])


@feature.scenario("several waits for one name are resolved in order, one by each event")
def _(hub):
    instance = hub.start(takes_all_at_once, 10)
    hub.says(instance, "waiting")
    for number in range(10):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    expect(hub.output(instance), list(range(10)))


@feature.scenario("an event that comes in time wins against a timer")
def _(hub):
    instance = hub.start(waits_at_most, 60_000)
    hub.says(instance, "waiting")
    hub.client.raise_orchestration_event(instance, "approval", data="yes")
    expect(hub.output(instance), "yes")


@feature.scenario("a timer wins against an event that does not come")
def _(hub):
    expect(hub.run(waits_at_most, 20), "timed out")


@feature.scenario("a wait that was given up does not eat the next event")
def _(hub):
    instance = hub.start(gives_up_a_wait)
    hub.says(instance, "waiting again")
    hub.client.raise_orchestration_event(instance, "item", data="mine")
    expect(hub.output(instance), "mine")


@feature.scenario("an event to an instance that does not exist is NOT_FOUND")
def _(hub):
    refused("NOT_FOUND", lambda: hub.client.raise_orchestration_event(hub.id("nobody"), "e"))


@feature.scenario("an event to an instance that has ended is accepted and dropped")
def _(hub):
    instance = hub.start(takes, [])
    expect(hub.output(instance), [])
    hub.client.raise_orchestration_event(instance, "late")
    expect(hub.events(instance)[-1], "ExecutionCompleted")


@feature.scenario("an orchestration sends events to another one, which takes them in order")
def _(hub):
    receiver = hub.start(takes, ["a", "b", "a"])
    hub.says(receiver, "waiting")
    expect(hub.run(sends, [[receiver, "a", 1], [receiver, "b", 2], [receiver, "a", 3]]), "sent")
    expect(hub.output(receiver), [1, 2, 3])


@feature.scenario("an event that is sent together with the completion arrives")
def _(hub):
    receiver = hub.start(takes, ["item"])
    hub.says(receiver, "waiting")
    expect(hub.run(sends_last, receiver), "sent")
    expect(hub.output(receiver), ["with the completion"])


@feature.scenario("an orchestration can send an event to itself")
def _(hub):
    expect(hub.run(talks_to_itself), "hello me")


@feature.scenario("an event that is sent to nobody is recorded by its sender, and dropped")
def _(hub):
    sender = hub.start(sends, [[hub.id("nobody"), "a", 1]])
    expect(hub.output(sender), "sent")
    expect(hub.events(sender).count("EventSent"), 1)


@feature.scenario("500 events to one instance all arrive, in order")
def _(hub):
    instance = hub.start(takes_late, 500)
    for number in range(500):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    hub.client.raise_orchestration_event(instance, "now")
    expect(hub.output(instance), list(range(500)))


@feature.scenario("a Python client raises events for an orchestrator in WebAssembly")
def _(hub):
    instance = hub.start("approval", 60_000)
    hub.says(instance, "waiting for the approval")
    hub.client.raise_orchestration_event(instance, "Approval", data={"by": "python"})
    expect_in('"by":"python"', hub.output(instance).replace(" ", ""))


@feature.scenario("a Python orchestrator sends an event to an orchestrator in WebAssembly")
def _(hub):
    receiver = hub.start("approval", 60_000)
    hub.says(receiver, "waiting for the approval")
    expect(hub.run(sends, [[receiver, "approval", "from python"]]), "sent")
    expect_in("from python", hub.output(receiver))


@feature.scenario("an orchestrator in WebAssembly sends an event to a Python orchestrator")
def _(hub):
    receiver = hub.start(takes, ["greeting"])
    hub.says(receiver, "waiting")
    hub.run("send", {"to": receiver, "event": "greeting", "payload": {"from": "wasm"}})
    expect(hub.output(receiver), [{"from": "wasm"}])
