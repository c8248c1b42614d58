"""The SDK's client for asyncio, through one life of an instance and what a client can do with many at once."""

import asyncio

import grpc
from durabletask import client
from durabletask.client import OrchestrationQuery, OrchestrationStatus
from hub import QUIET, Feature, expect, parse

feature = Feature()


@feature.orchestrator
def takes_two(ctx, input):
    ctx.set_custom_status("waiting")
    first = yield ctx.wait_for_external_event("first")
    second = yield ctx.wait_for_external_event("second")
    return [input, first, second]


def asynchronous(function):
    """A scenario that is a coroutine, given a client."""

    def scenario(hub):
        async def run():
            async with client.AsyncTaskHubGrpcClient(host_address=hub.address, logger=QUIET) as own:
                await function(hub, own)

        asyncio.run(run())

    return scenario


@feature.scenario("an instance is started, suspended, told, resumed, awaited, read and purged")
@asynchronous
async def _(hub, own):
    instance = await own.schedule_new_orchestration(takes_two, input="in", instance_id=hub.id(), tags={"a": "b"})
    await own.wait_for_orchestration_start(instance, timeout=30)
    await own.suspend_orchestration(instance)
    expect((await own.get_orchestration_state(instance)).runtime_status, OrchestrationStatus.SUSPENDED)
    await own.raise_orchestration_event(instance, "second", data=2)
    await own.raise_orchestration_event(instance, "first", data=1)
    await own.resume_orchestration(instance)
    state = await own.wait_for_orchestration_completion(instance, timeout=30)
    expect(parse(state.serialized_output), ["in", 1, 2])
    events = await own.get_orchestration_history(instance)
    expect(type(events[-1]).__name__, "ExecutionCompletedEvent")
    found = await own.get_all_orchestration_states(OrchestrationQuery(instance_id_prefix=instance))
    expect([state.instance_id for state in found], [instance])
    expect((await own.purge_orchestration(instance)).deleted_instance_count, 1)
    expect(await own.get_orchestration_state(instance), None)


@feature.scenario("200 instances are started and awaited at once over one connection")
@asynchronous
async def _(hub, own):
    async def one(number):
        instance = await own.schedule_new_orchestration(takes_two, input=number, instance_id=hub.id())
        waiting = asyncio.create_task(own.wait_for_orchestration_completion(instance, timeout=30))
        await own.raise_orchestration_event(instance, "first", data=number)
        await own.raise_orchestration_event(instance, "second", data=-number)
        return parse((await waiting).serialized_output)

    outputs = await asyncio.gather(*(one(number) for number in range(200)))
    expect(outputs, [[number, number, -number] for number in range(200)])


@feature.scenario("a wait that is cancelled does no harm")
@asynchronous
async def _(hub, own):
    instance = await own.schedule_new_orchestration(takes_two, instance_id=hub.id())
    waiting = asyncio.create_task(own.wait_for_orchestration_completion(instance, timeout=30))
    await own.wait_for_orchestration_start(instance, timeout=30)
    waiting.cancel()
    for name in ("first", "second"):
        await own.raise_orchestration_event(instance, name)
    state = await own.wait_for_orchestration_completion(instance, timeout=30)
    expect(state.runtime_status, OrchestrationStatus.COMPLETED)


@feature.scenario("refusals have their codes")
@asynchronous
async def _(hub, own):
    try:
        await own.raise_orchestration_event(hub.id("nobody"), "e")
        raise AssertionError("it was not refused")
    except grpc.aio.AioRpcError as error:
        expect(error.code(), grpc.StatusCode.NOT_FOUND)
