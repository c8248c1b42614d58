"""The in-memory scheduler of the PyPI package `durabletask`, its client, and a worker with an entity and an orchestrator of its own.

Prints `listening on HOST:PORT`, waits for a durawasm host with `test_bank.wasm` to connect, has it use entities in every way, and prints `backend ok`.
"""

import json
from datetime import datetime, timedelta, timezone

from backend import Status, done, ended, eventually, hub, output, run, step, work
from durabletask.entities import EntityInstanceId


def thermostat(ctx, value):
    degrees = ctx.get_state(int, 0)
    if ctx.operation == "set":
        degrees = value
        ctx.set_state(degrees)
    return degrees


def move_in_python(ctx, order):
    """Uses the entities of the component, from Python."""
    source, target = EntityInstanceId("account", order["from"]), EntityInstanceId("account", order["to"])
    with (yield ctx.lock_entities([source, target])):
        yield ctx.call_entity(source, "withdraw", order["amount"])
        return (yield ctx.call_entity(target, "deposit", order["amount"]))


work(orchestrators=[move_in_python], entities=[thermostat])


def account(key):
    return EntityInstanceId("account", key)


def state(key):
    found = hub.get_entity(account(key))
    text = found.get_state() if found else None
    return json.loads(text)["balance"] if text else None


step("signals from a client, in order")
for amount in range(1, 11):
    hub.signal_entity(account("signalled"), "deposit", amount)
eventually("all are there", lambda: state("signalled") == 55)

step("a signal for later")
soon = datetime.now(timezone.utc) + timedelta(milliseconds=500)
hub.signal_entity(account("later"), "deposit", 7, signal_time=soon)
assert state("later") is None
eventually("it came", lambda: state("later") == 7)

step("calls, and operations that fail alone")
assert run("use_account", "used") == [15, "Overdrawn", "Panic", 15]

step("a transfer under locks")
hub.signal_entity(account("rich"), "deposit", 100)
eventually("there is money", lambda: state("rich") == 100)
assert run("transfer", {"from": "rich", "to": "poor", "amount": 30}) is True
assert run("transfer", {"from": "poor", "to": "rich", "amount": 31}) is False
assert (state("rich"), state("poor")) == (70, 30)

step("many transfers at once lose nothing")
orders = [{"from": "rich", "to": "poor", "amount": 1}, {"from": "poor", "to": "rich", "amount": 2}]
many = [hub.schedule_new_orchestration("transfer", input=orders[number % 2]) for number in range(30)]
assert all(output(one) in (True, False) for one in many)
assert state("rich") + state("poor") == 100
assert hub.get_entity(account("rich")).get_locked_by() is None

step("the rules of a critical section")
broken = run("break_rules", "ruled")
rules = ["EntityNotLocked", "ParallelCalls", "EntityNotLocked", "EntityLocked", "ChildInSection", "NestedLock"]
assert broken == [*rules, "true 0"], broken

step("locks are released at the end, whatever it is")
for way, status in (("return", Status.COMPLETED), ("fail", Status.FAILED), ("again", Status.COMPLETED)):
    ended(hub.schedule_new_orchestration("end_locked", input=["kept", way]), status)
    eventually("it can be used", lambda: run("use_account", "kept")[1] == "Overdrawn")

step("an entity signals another one, and deletes itself")
hub.signal_entity(account("old"), "deposit", 5)
hub.signal_entity(account("old"), "close", "heir")
eventually("the heir has it", lambda: state("heir") == 5)
eventually("the old one is gone", lambda: state("old") is None)

step("an entity signals itself for later")
hub.signal_entity(account("patient"), "pay_later", 100)
eventually("it was paid", lambda: state("patient") == 1)

step("an entity starts an orchestration")
hub.signal_entity(account("told"), "deposit", 3)
eventually("there is something to tell", lambda: state("told") == 3)
assert output(run("ask_for_report", "told")) == 3

step("an orchestrator of the component calls an entity of the script")
assert run("call_foreign", ["thermostat", "kitchen", "set", 21]) == 21
assert run("call_foreign", ["Thermostat", "kitchen", "get", 0]) == 21

step("an orchestrator of the script locks and calls entities of the component")
hub.signal_entity(account("from"), "deposit", 9)
eventually("there is money", lambda: state("from") == 9)
assert run("move_in_python", {"from": "from", "to": "to", "amount": 4}) == 4
assert (state("from"), state("to")) == (5, 4)

step("an unknown operation says what there is")
failed = ended(hub.schedule_new_orchestration("call_foreign", input=["account", "x", "fly", 0]), Status.FAILED)
assert failed.failure_details.error_type == "UnknownOperation", failed.failure_details
assert "`deposit`" in failed.failure_details.message, failed.failure_details

done()
