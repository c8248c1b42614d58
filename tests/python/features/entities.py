"""Durable entities: functions and classes, calls, signals, locks, schedules, queries."""

import time
from datetime import datetime, timedelta, timezone

from durabletask import entities, task
from durabletask.client import EntityQuery
from durabletask.entities import EntityInstanceId
from hub import Feature, eventually, expect, expect_in, refused

feature = Feature()


@feature.entity
def counter(ctx, input):
    """An entity as a function."""
    count = ctx.get_state(int, 0)
    if ctx.operation == "add":
        ctx.set_state(count + input)
        return count + input
    if ctx.operation == "get":
        return count
    if ctx.operation == "fail_after_setting":
        ctx.set_state(-1)
        ctx.signal_entity(EntityInstanceId("counter", ctx.entity_id.key + "-other"), "add", 1)
        raise ValueError(f"cannot {input}")
    if ctx.operation == "clear":
        ctx.set_state(None)
        return None
    if ctx.operation == "pass_on":
        ctx.signal_entity(EntityInstanceId("counter", input), "add", 1)
        return None
    if ctx.operation == "start":
        return ctx.schedule_new_orchestration("adds", input=input, instance_id=input["instance"])
    raise NotImplementedError(ctx.operation)


@feature.entity
class Account(entities.DurableEntity):
    """An entity as a class."""

    def deposit(self, amount):
        balance = self.get_state(int, 0) + amount
        if balance < 0:
            raise ValueError("no credit")
        self.set_state(balance)
        return balance

    def balance(self):
        return self.get_state(int, 0)

    def remind(self, amount):
        later = datetime.now(timezone.utc) + timedelta(milliseconds=300)
        self.signal_entity(self.entity_context.entity_id, "deposit", amount, later)


@feature.orchestrator
def adds(ctx, call):
    for number in call["numbers"]:
        last = yield ctx.call_entity(EntityInstanceId("counter", call["key"]), "add", input=number)
    return last


@feature.orchestrator
def signals(ctx, call):
    target = EntityInstanceId("Counter", call["key"])
    for number in call["numbers"]:
        ctx.signal_entity(target, "add", input=number)
    return (yield ctx.call_entity(target, "get"))


@feature.orchestrator
def signals_later(ctx, key):
    due = ctx.current_utc_datetime + timedelta(milliseconds=500)
    ctx.signal_entity(EntityInstanceId("counter", key), "add", input=1, signal_time=due.replace(tzinfo=timezone.utc))
    return (yield ctx.call_entity(EntityInstanceId("counter", key), "get"))


@feature.orchestrator
def catches(ctx, call):
    entity = EntityInstanceId(call["entity"], call["key"])
    try:
        return (yield ctx.call_entity(entity, call["operation"], input=call.get("input")))
    except task.TaskFailedError as error:
        return ["failed", str(error)]
    except Exception as error:
        return ["failed", str(error)]


@feature.orchestrator
def transfers(ctx, call):
    source, target = EntityInstanceId("account", call["from"]), EntityInstanceId("account", call["to"])
    lock = yield ctx.lock_entities([source, target])
    with lock:
        balance = yield ctx.call_entity(source, "balance")
        if balance < call["amount"]:
            return "too little"
        yield ctx.call_entity(source, "deposit", input=-call["amount"])
        yield ctx.call_entity(target, "deposit", input=call["amount"])
    return "done"


@feature.orchestrator
def holds(ctx, call):
    lock = yield ctx.lock_entities([EntityInstanceId("account", call)])
    ctx.set_custom_status("holds")
    yield ctx.wait_for_external_event("go")
    lock.__exit__()
    return "released"


@feature.orchestrator
def forgets_its_lock(ctx, key):
    yield ctx.lock_entities([EntityInstanceId("account", key)])
    ctx.set_custom_status("holds")
    yield ctx.wait_for_external_event("go")
    raise ValueError("it fails with its lock")


@feature.orchestrator
def locking_generations(ctx, call):
    lock = yield ctx.lock_entities([EntityInstanceId("account", call["key"])])
    with lock:
        yield ctx.call_entity(EntityInstanceId("account", call["key"]), "deposit", input=1)
    if call["left"] == 0:
        return (yield ctx.call_entity(EntityInstanceId("account", call["key"]), "balance"))
    ctx.continue_as_new({**call, "left": call["left"] - 1})


def counter_id(hub, word="k"):
    return EntityInstanceId("counter", hub.id(word)[-60:])


def state_of(hub, entity):
    found = hub.client.get_entity(entity)
    return found and found.get_typed_state()


@feature.scenario("an orchestration calls an entity, one call after the other")
def _(hub):
    entity = counter_id(hub)
    expect(hub.run(adds, {"key": entity.key, "numbers": [1, 2, 3]}), 6)
    expect(state_of(hub, entity), 6, "the state")


@feature.scenario("signals of an orchestration arrive before its next call of the same entity")
def _(hub):
    expect(hub.run(signals, {"key": counter_id(hub).key, "numbers": [1, 2, 3]}), 6)


@feature.scenario("a client signals an entity and reads its state")
def _(hub):
    entity = counter_id(hub)
    expect(hub.client.get_entity(entity), None, "before its first signal")
    for _ in range(20):
        hub.client.signal_entity(entity, "add", input=2)
    eventually("all signals have run", lambda: state_of(hub, entity) == 40)
    metadata = hub.client.get_entity(entity, include_state=False)
    expect([metadata.backlog_queue_size, metadata.get_locked_by(), metadata.includes_state], [0, None, False])


@feature.scenario("a signal for later runs later, from clients, orchestrations and entities")
def _(hub):
    entity, account = counter_id(hub), EntityInstanceId("account", hub.id("a")[-60:])
    due = datetime.now(timezone.utc) + timedelta(milliseconds=700)
    hub.client.signal_entity(entity, "add", input=1, signal_time=due)
    hub.client.signal_entity(account, "remind", input=5)
    expect(hub.run(signals_later, entity.key), 0, "before the first of them")
    eventually("both have run", lambda: state_of(hub, entity) == 2)
    assert datetime.now(timezone.utc) >= due
    eventually("the entity has signaled itself", lambda: state_of(hub, account) == 5)


@feature.scenario("a failed operation fails its call, and neither its state nor its signals stay")
def _(hub):
    entity = counter_id(hub)
    expect(hub.run(adds, {"key": entity.key, "numbers": [5]}), 5)
    call = {"entity": "counter", "key": entity.key, "operation": "fail_after_setting", "input": "do this"}
    word, message = hub.run(catches, call)
    expect_in("cannot do this", message)
    expect(hub.run(adds, {"key": entity.key, "numbers": [1]}), 6)
    expect(hub.client.get_entity(EntityInstanceId("counter", entity.key + "-other")), None, "whom it had signaled")


@feature.scenario("an operation that is not there fails its call")
def _(hub):
    for entity in ["counter", "account"]:
        word, _ = hub.run(catches, {"entity": entity, "key": counter_id(hub).key, "operation": "none_such"})
        expect(word, "failed")


@feature.scenario("an entity of a class has methods as operations, and delete without writing one")
def _(hub):
    entity = EntityInstanceId("account", hub.id("a")[-60:])
    expect(hub.run(catches, {"entity": "account", "key": entity.key, "operation": "deposit", "input": 7}), 7)
    expect(hub.run(catches, {"entity": "account", "key": entity.key, "operation": "balance"}), 7)
    hub.client.signal_entity(entity, "delete")
    eventually("it is gone", lambda: hub.client.get_entity(entity) is None)
    expect(hub.run(catches, {"entity": "account", "key": entity.key, "operation": "balance"}), 0)


@feature.scenario("an entity whose state is none is gone")
def _(hub):
    entity = counter_id(hub)
    expect(hub.run(adds, {"key": entity.key, "numbers": [5]}), 5)
    expect(hub.run(catches, {"entity": "counter", "key": entity.key, "operation": "clear"}), None)
    expect(hub.client.get_entity(entity), None)


@feature.scenario("an entity signals another one")
def _(hub):
    one, other = counter_id(hub, "one"), counter_id(hub, "other")
    hub.client.signal_entity(one, "pass_on", input=other.key)
    eventually("the other one has heard of it", lambda: state_of(hub, other) == 1)


@feature.scenario("an entity starts an orchestration, which calls that entity")
def _(hub):
    entity, instance = counter_id(hub), hub.id("started")
    call = {"instance": instance, "key": entity.key, "numbers": [2, 3]}
    hub.client.signal_entity(entity, "start", input=call)
    eventually("it is started", lambda: hub.state(instance))
    expect(hub.output(instance), 5)


@feature.scenario("30 transfers in both directions between two accounts lose nothing")
def _(hub):
    keys = [hub.id("a")[-60:], hub.id("b")[-60:]]
    for key in keys:
        expect(hub.run(catches, {"entity": "account", "key": key, "operation": "deposit", "input": 100}), 100)
    calls = [{"from": keys[n % 2], "to": keys[(n + 1) % 2], "amount": 10 + n} for n in range(30)]
    started = [hub.start(transfers, call) for call in calls]
    outcomes = {hub.output(instance) for instance in started}
    assert outcomes <= {"done", "too little"}, outcomes
    balances = [state_of(hub, EntityInstanceId("account", key)) for key in keys]
    expect(sum(balances), 200)
    for key in keys:
        expect(hub.client.get_entity(EntityInstanceId("account", key))._locked_by, "")


@feature.scenario("while an entity is locked others wait, and clients see by whom")
def _(hub):
    key = hub.id("a")[-60:]
    entity = EntityInstanceId("account", key)
    holder = hub.start(holds, key)
    hub.says(holder, "holds")
    expect(hub.client.get_entity(entity)._locked_by, holder)
    hub.client.signal_entity(entity, "deposit", input=5)
    waits = hub.start(catches, {"entity": "account", "key": key, "operation": "balance"})
    eventually("both are in the queue", lambda: hub.client.get_entity(entity).backlog_queue_size == 2)
    time.sleep(0.2)
    expect(hub.client.get_entity(entity).backlog_queue_size, 2, "the backlog of a locked entity")
    hub.client.raise_orchestration_event(holder, "go")
    expect(hub.output(holder), "released")
    expect(hub.output(waits), 5)


@feature.scenario("an orchestration that fails, or is terminated, or purged after that, leaves no lock behind")
def _(hub):
    for end in ["failure", "termination"]:
        key = hub.id("a")[-60:]
        entity = EntityInstanceId("account", key)
        holder = hub.start(forgets_its_lock, key)
        hub.says(holder, "holds")
        hub.client.signal_entity(entity, "deposit", input=3)
        if end == "failure":
            hub.client.raise_orchestration_event(holder, "go")
        else:
            hub.client.terminate_orchestration(holder)
        hub.ended(holder)
        eventually("what waited has run", lambda: state_of(hub, entity) == 3)
        hub.client.purge_orchestration(holder)
        expect(hub.client.get_entity(entity)._locked_by, "")


@feature.scenario("critical sections and generations go together")
def _(hub):
    expect(hub.run(locking_generations, {"key": hub.id("a")[-60:], "left": 5}), 6)


@feature.scenario("entities are queried by prefix, with and without state, page by page")
def _(hub):
    prefix = hub.id("query")[-40:]
    ids = [EntityInstanceId("counter", f"{prefix}-{number}") for number in range(5)]
    for number, entity in enumerate(ids):
        hub.client.signal_entity(entity, "add", input=number)
    for number, entity in enumerate(ids):
        eventually("it has run", lambda: state_of(hub, entity) == number)
    query = EntityQuery(instance_id_starts_with=f"@counter@{prefix}", page_size=2)
    found = hub.client.get_all_entities(query)
    expect([str(entity.id) for entity in found], [str(entity) for entity in ids])
    expect([entity.get_typed_state() for entity in found], [0, 1, 2, 3, 4])
    bare = hub.client.get_all_entities(EntityQuery(instance_id_starts_with=f"@counter@{prefix}", include_state=False))
    expect([entity.includes_state for entity in bare], [False] * 5)
    newer = EntityQuery(instance_id_starts_with=f"@counter@{prefix}", last_modified_from=found[4].last_modified)
    assert str(ids[4]) in [str(entity.id) for entity in hub.client.get_all_entities(newer)]


@feature.scenario("a cleaning of the storage finds nothing to clean")
def _(hub):
    cleaned = hub.client.clean_entity_storage()
    expect([cleaned.empty_entities_removed, cleaned.orphaned_locks_released], [0, 0])


@feature.scenario("an id that is too long is refused")
def _(hub):
    refused("INVALID_ARGUMENT", lambda: hub.client.signal_entity(EntityInstanceId("counter", "k" * 100), "add", input=1))


@feature.scenario("orchestrations may not take ids of entities")
def _(hub):
    try:
        hub.start(adds, None, instance_id="@counter@k")
    except Exception as error:
        expect_in("@", str(error))
    else:
        raise AssertionError("it was accepted")
