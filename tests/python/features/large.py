"""Payloads of several MiB, kept by the scheduler: what fits through the messages of the SDK, and what is said of what does not."""

from durabletask import client
from durabletask.entities import EntityInstanceId
from durabletask.grpc_options import GrpcChannelOptions
from hub import PATIENCE, QUIET, Feature, eventually, expect, expect_in, expect_status, parse

MIB = 1 << 20
WIDE = GrpcChannelOptions(max_receive_message_length=64 * MIB)

feature = Feature(channel_options=WIDE)


@feature.activity
def give_large(_, length):
    return "x" * length


@feature.activity
def measure_large(_, text):
    return len(text)


@feature.entity
def shelf(ctx, value):
    if ctx.operation == "keep":
        ctx.set_state(value)
    elif ctx.operation == "double":
        ctx.set_state(ctx.get_state(str) * 2)


@feature.orchestrator
def pass_large_on(ctx, length):
    text = yield ctx.call_activity(give_large, input=length)
    ctx.set_custom_status(text[:MIB])
    return (yield ctx.call_activity(measure_large, input=text))


def wide(hub):
    return client.TaskHubGrpcClient(host_address=hub.address, logger=QUIET, channel_options=WIDE)


@feature.scenario("5 MiB go from a Python activity through a WebAssembly orchestration to a Python client")
def _(hub):
    instance = hub.start("foreign_call", {"name": "give_large", "input": 5 * MIB})
    state = wide(hub).wait_for_orchestration_completion(instance, timeout=PATIENCE)
    expect(len(parse(expect_status(state, "COMPLETED").serialized_output)), 5 * MIB)


@feature.scenario("5 MiB go through an orchestrator and two activities whose users allow large messages")
def _(hub):
    expect(hub.run(pass_large_on, 5 * MIB), 5 * MIB)


@feature.scenario("an entity keeps a state of 6 MiB")
def _(hub):
    own, entity = wide(hub), EntityInstanceId("shelf", hub.id())
    own.signal_entity(entity, "keep", input="y" * (3 * MIB))
    own.signal_entity(entity, "double")

    def doubled():
        found = own.get_entity(entity)
        return found and found.get_typed_state() == "y" * (6 * MIB)

    eventually("the state is doubled", doubled)


@feature.scenario("what is too large for a worker of the SDK fails, and the text says what to do")
def _(hub):
    def take_large(_, text):
        return len(text)

    hub.work(activities=[take_large])
    instance = hub.start("foreign_call", {"name": "take_large", "input": "x" * (5 * MIB)})
    # The instance's input is too large for a client whose user did not allow more.
    state = wide(hub).wait_for_orchestration_completion(instance, timeout=PATIENCE)
    failure = expect_status(state, "FAILED").failure_details
    said = f"{failure.error_type}: {failure.message} {failure.inner_failure}"
    expect_in("PayloadTooLarge", said)
    expect_in("max_receive_message_length", said)
