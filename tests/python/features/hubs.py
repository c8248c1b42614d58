"""Task hubs: the header `taskhub` on every call of a client and of a worker. The scheduler has the hubs `default` and `other`."""

from durabletask.client import OrchestrationQuery
from hub import Feature, Hub, expect, expect_status, parse, refused

feature = Feature()


def named(function, name):
    function.__name__ = name
    return function


def tells(who):
    return named(lambda ctx, _: who, "tells_its_hub")


@feature.scenario("an id in two hubs is two instances, and a worker runs those of its own hub")
def _(hub):
    here, there = Hub(hub.address, hub.prefix, "default"), Hub(hub.address, hub.prefix, "other")
    here.work([tells("default")])
    there.work([tells("other")])
    for place, name in ((here, "default"), (there, "other")):
        expect(place.run("tells_its_hub", instance_id="twin"), name)
    expect(hub.output("twin"), "default", "without a hub it is the default one")


@feature.scenario("events, queries and purges see their own hub alone")
def _(hub):
    there = Hub(hub.address, hub.prefix, "other")
    there.work([named(takes_event, "takes_event")])
    instance = there.start("takes_event")
    there.says(instance, "waiting")
    expect(hub.state(instance), None)
    refused("NOT_FOUND", lambda: hub.client.raise_orchestration_event(instance, "e"))
    expect(hub.client.get_all_orchestration_states(OrchestrationQuery(instance_id_prefix=instance)), [])
    there.client.raise_orchestration_event(instance, "e", data=1)
    expect(parse(expect_status(there.ended(instance), "COMPLETED").serialized_output), 1)
    expect(hub.client.purge_orchestration(instance).deleted_instance_count, 0)
    expect(there.client.purge_orchestration(instance).deleted_instance_count, 1)


def takes_event(ctx, _):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("e"))


@feature.scenario("a hub that was not made is NOT_FOUND")
def _(hub):
    nowhere = Hub(hub.address, hub.prefix, "nowhere")
    refused("NOT_FOUND", lambda: nowhere.start("tells_its_hub"))
    refused("NOT_FOUND", lambda: nowhere.state("twin"))
