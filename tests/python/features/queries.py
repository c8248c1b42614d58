"""Queries, lists of ids, and purges."""

from datetime import timedelta

from durabletask.client import OrchestrationQuery, OrchestrationStatus
from hub import Feature, eventually, expect, expect_status, parse, refused

# One scenario after the other: they look at all instances of the hub.
feature = Feature(alone=True)


@feature.orchestrator
def ends_with(ctx, input):
    ctx.set_custom_status(["given", input])
    return input


@feature.orchestrator
def ends_badly(ctx, _):
    raise ValueError("badly")


@feature.orchestrator
def never_ends(ctx, _):
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("end")


@feature.orchestrator
def has_family(ctx, depth):
    if depth > 0:
        for number in range(2):
            yield ctx.call_sub_orchestrator(has_family, input=depth - 1, instance_id=f"{ctx.instance_id}-{number}")


@feature.orchestrator
def has_a_foreign_child(ctx, child):
    yield ctx.call_sub_orchestrator("generations", input=0, instance_id=child)


def query(hub, **options):
    return hub.client.get_all_orchestration_states(OrchestrationQuery(**options))


def ids(states):
    return sorted(state.instance_id for state in states)


def statuses(*names):
    return [OrchestrationStatus[name] for name in names]


def one_of_each(hub):
    """An instance in each status, by the status."""
    made = {
        "COMPLETED": hub.start(ends_with, {"a": 1}),
        "FAILED": hub.start(ends_badly),
        "TERMINATED": hub.start(never_ends),
        "RUNNING": hub.start(never_ends),
        "SUSPENDED": hub.start(never_ends),
        "PENDING": hub.start("nobody_runs_this"),
    }
    for status in ("TERMINATED", "RUNNING", "SUSPENDED"):
        hub.says(made[status], "waiting")
    hub.client.suspend_orchestration(made["SUSPENDED"])
    hub.client.terminate_orchestration(made["TERMINATED"])
    for status, instance in made.items():
        hub.until(instance, status)
    return made


@feature.scenario("a query without a filter finds every instance")
def _(hub):
    made = one_of_each(hub)
    found = ids(query(hub))
    expect([instance for instance in made.values() if instance not in found], [], "missing instances")
    expect(len(found), len(set(found)), "instances that were found twice")


@feature.scenario("a query by status finds the instances in one of the statuses")
def _(hub):
    made = one_of_each(hub)
    for status, instance in made.items():
        expect(ids(query(hub, runtime_status=statuses(status), instance_id_prefix=hub.prefix_of_ids())), [instance], status)
    found = query(hub, runtime_status=statuses("FAILED", "PENDING"), instance_id_prefix=hub.prefix_of_ids())
    expect(ids(found), sorted([made["FAILED"], made["PENDING"]]))
    everything = query(hub, runtime_status=statuses(*made), instance_id_prefix=hub.prefix_of_ids())
    expect(ids(everything), sorted(made.values()))


@feature.scenario("a query by prefix finds the ids that begin so, and takes no character of it for a pattern")
def _(hub):
    prefix = hub.id()
    for ending in ("a", "ab", "b", "%", "_", "ü"):
        hub.start(ends_with, instance_id=prefix + ending)
    expect(ids(query(hub, instance_id_prefix=prefix + "a")), [prefix + "a", prefix + "ab"])
    expect(ids(query(hub, instance_id_prefix=prefix + "%")), [prefix + "%"])
    expect(ids(query(hub, instance_id_prefix=prefix + "_")), [prefix + "_"])
    expect(ids(query(hub, instance_id_prefix=prefix + "ü")), [prefix + "ü"])
    expect(ids(query(hub, instance_id_prefix=prefix + "c")), [])
    expect(len(query(hub, instance_id_prefix=prefix)), 6)


@feature.scenario("a query by the time of creation includes the first moment and excludes the last")
def _(hub):
    first, second, third = (hub.start(ends_with, number) for number in range(3))
    created = {instance: hub.state(instance).created_at for instance in (first, second, third)}
    found = query(hub, created_time_from=created[second], created_time_to=created[third])
    expect(ids(found), [second])
    found = query(hub, created_time_from=created[second], instance_id_prefix=hub.prefix_of_ids())
    expect(ids(found), sorted([second, third]))
    found = query(hub, created_time_to=created[second], instance_id_prefix=hub.prefix_of_ids())
    expect(ids(found), [first])


@feature.scenario("the filters of a query all have to fit")
def _(hub):
    made = one_of_each(hub)
    created = hub.state(made["FAILED"]).created_at
    both = dict(runtime_status=statuses("FAILED", "COMPLETED"), instance_id_prefix=hub.prefix_of_ids())
    expect(ids(query(hub, created_time_from=created, **both)), [made["FAILED"]])
    expect(ids(query(hub, created_time_from=created, created_time_to=created, **both)), [])


@feature.scenario("a query returns inputs and outputs only if they are asked for, and the rest always")
def _(hub):
    good, bad = hub.start(ends_with, {"a": 1}), hub.start(ends_badly, "in")
    hub.output(good)
    hub.ended(bad)
    brief = {state.instance_id: state for state in query(hub, instance_id_prefix=hub.prefix_of_ids())}
    expect([brief[good].name, brief[good].serialized_input, brief[good].serialized_output], ["ends_with", None, None])
    expect(parse(brief[good].serialized_custom_status), ["given", {"a": 1}])
    expect(brief[bad].failure_details.message, "badly")
    found = query(hub, instance_id_prefix=hub.prefix_of_ids(), fetch_inputs_and_outputs=True)
    full = {state.instance_id: state for state in found}
    expect([parse(full[good].serialized_input), parse(full[good].serialized_output)], [{"a": 1}, {"a": 1}])
    expect(parse(full[bad].serialized_input), "in")
    one = hub.state(good)
    one_found = full[good]
    expect([one_found.created_at, one_found.last_updated_at], [one.created_at, one.last_updated_at])


@feature.scenario("a query in pages finds each instance once")
def _(hub):
    made = sorted(hub.start(ends_with, number) for number in range(60))
    for size in (1, 7, 60, 1000):
        expect(ids(query(hub, max_instance_count=size, instance_id_prefix=hub.prefix_of_ids())), made, f"pages of {size}")


@feature.scenario("a list of ids has the instances that have ended, in the order of their ends")
def _(hub):
    made = one_of_each(hub)
    order = [made["COMPLETED"], made["FAILED"], made["TERMINATED"]]
    own = [i for i in hub.client.list_instance_ids(page_size=1000).items if i.startswith(hub.prefix_of_ids())]
    # Which of the first two ended first is not said.
    expect([sorted(own[:2]), own[2:]], [sorted(order[:2]), order[2:]])
    failed = hub.client.list_instance_ids(runtime_status=statuses("FAILED"), page_size=1000).items
    expect([i for i in failed if i.startswith(hub.prefix_of_ids())], [made["FAILED"]])


@feature.scenario("a list of ids in pages has each id once, and ends without a token")
def _(hub):
    made = [hub.start(ends_with, number) for number in range(25)]
    for instance in made:
        hub.output(instance)
    found, token, pages = [], None, 0
    while True:
        page = hub.client.list_instance_ids(page_size=4, continuation_token=token)
        assert len(page.items) <= 4, page
        found += page.items
        pages += 1
        token = page.continuation_token
        if not token:
            break
        assert pages < 1000
    expect(sorted(i for i in found if i.startswith(hub.prefix_of_ids())), sorted(made))
    expect(len(found), len(set(found)))


@feature.scenario("a list of ids by the time of the end")
def _(hub):
    early = hub.start(ends_with)
    hub.output(early)
    late = hub.start(ends_with)
    hub.output(late)
    ended = hub.state(late).last_updated_at
    own = lambda **times: [
        i for i in hub.client.list_instance_ids(page_size=1000, **times).items if i.startswith(hub.prefix_of_ids())
    ]
    expect(own(completed_time_from=ended - timedelta(microseconds=1)), [late])
    expect(own(completed_time_to=ended), [early])


@feature.scenario("a purge by id leaves nothing behind, and frees the id")
def _(hub):
    for name, status in ((ends_with, "COMPLETED"), (ends_badly, "FAILED")):
        instance = hub.start(name)
        hub.until(instance, status)
        result = hub.client.purge_orchestration(instance)
        expect([result.deleted_instance_count, result.is_complete], [1, True])
        expect(hub.state(instance), None)
        expect(ids(query(hub, instance_id_prefix=instance)), [])
        refused("NOT_FOUND", lambda: hub.history(instance))
        refused("NOT_FOUND", lambda: hub.client.raise_orchestration_event(instance, "e"))
        expect(hub.client.purge_orchestration(instance).deleted_instance_count, 0)
        expect(hub.run(ends_with, "again", instance_id=instance), "again")


@feature.scenario("an instance that has not ended, or does not exist, is not purged")
def _(hub):
    instance = hub.start(never_ends)
    hub.says(instance, "waiting")
    expect(hub.client.purge_orchestration(instance).deleted_instance_count, 0)
    hub.client.suspend_orchestration(instance)
    expect(hub.client.purge_orchestration(instance).deleted_instance_count, 0)
    expect_status(hub.state(instance), "SUSPENDED")
    expect(hub.client.purge_orchestration(hub.id("nobody")).deleted_instance_count, 0)


@feature.scenario("a recursive purge takes all descendants, and one that is not leaves them")
def _(hub):
    for recursive, count in ((True, 7), (False, 1)):
        top = hub.start(has_family, 2)
        expect_status(hub.ended(top), "COMPLETED")
        expect(len(query(hub, instance_id_prefix=top)), 7)
        expect(hub.client.purge_orchestration(top, recursive=recursive).deleted_instance_count, count)
        expect(len(query(hub, instance_id_prefix=top)), 7 - count)


@feature.scenario("a purge of a Python parent takes its child in WebAssembly along")
def _(hub):
    child = hub.id("child")
    top = hub.start(has_a_foreign_child, child)
    expect_status(hub.ended(top), "COMPLETED")
    expect(hub.client.purge_orchestration(top).deleted_instance_count, 2)
    expect(hub.state(child), None)


@feature.scenario("a purge by filter takes what fits and has ended, and says that it is complete")
def _(hub):
    before = hub.start(ends_with)
    hub.output(before)
    made = one_of_each(hub)
    since = hub.state(made["COMPLETED"]).created_at
    result = hub.client.purge_orchestrations_by(created_time_from=since, runtime_status=statuses("FAILED"))
    expect([result.deleted_instance_count, result.is_complete], [1, True])
    expect(hub.state(made["FAILED"]), None)
    # Without statuses: whatever has ended.
    result = hub.client.purge_orchestrations_by(created_time_from=since, timeout=timedelta(seconds=30))
    expect([result.deleted_instance_count, result.is_complete], [2, True])
    for status in ("RUNNING", "SUSPENDED", "PENDING"):
        expect_status(hub.state(made[status]), status)
    expect_status(hub.state(before), "COMPLETED")


@feature.scenario("a purge by filter takes many, and their descendants if it is recursive")
def _(hub):
    tops = [hub.start(has_family, 1) for _ in range(20)]
    for top in tops:
        expect_status(hub.ended(top), "COMPLETED")
    since = hub.state(tops[0]).created_at
    eventually("all are listed", lambda: len(query(hub, instance_id_prefix=hub.prefix_of_ids())) == 60)
    result = hub.client.purge_orchestrations_by(created_time_from=since, recursive=True)
    expect(result.deleted_instance_count, 60)
    expect(query(hub, instance_id_prefix=hub.prefix_of_ids()), [])
