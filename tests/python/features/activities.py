"""Activities: results, failures, fan-out and fan-in, with workers in Python and in WebAssembly."""

from durabletask import task
from hub import Feature, expect, expect_in, expect_status, parse


class Portable:
    """What the SDK sends as the properties of a failure."""

    def get_exception_properties(self, exception):
        return getattr(exception, "properties", None)


feature = Feature(exception_properties_provider=Portable())


class StockError(Exception):
    properties = {"item": "tea", "left": 0.0}


@feature.activity
def upper(_, text: str):
    return text.upper()


@feature.activity
def echo(_, input):
    return input


@feature.activity
def says_nothing(_, __):
    return None


@feature.activity
def sold_out(_, item):
    raise StockError(f"no {item} left")


@feature.activity
def breaks(_, __):
    try:
        raise KeyError("the inside")
    except KeyError as inner:
        raise StockError("the outside") from inner


@feature.activity
def who_am_i(ctx, _):
    return [ctx.orchestration_id, ctx.task_id]


@feature.orchestrator
def chain(ctx, text):
    shouted = yield ctx.call_activity(upper, input=text)
    return (yield ctx.call_activity(upper, input=f"{shouted}!"))


@feature.orchestrator
def echoes(ctx, input):
    return (yield ctx.call_activity(echo, input=input))


@feature.orchestrator
def silence(ctx, _):
    result = yield ctx.call_activity(says_nothing)
    return "nothing came back" if result is None else result


@feature.orchestrator
def fan_out_echo(ctx, width):
    return (yield task.when_all([ctx.call_activity(echo, input=number) for number in range(width)]))


@feature.orchestrator
def fan_in_of_a_failure(ctx, _):
    tasks = [ctx.call_activity(echo, input=1), ctx.call_activity(sold_out, input="tea"), ctx.call_activity(echo, input=3)]
    try:
        yield task.when_all(tasks)
    except task.TaskFailedError as error:
        return [error.details.message, [one.is_complete for one in tasks]]


@feature.orchestrator
def first_of(ctx, _):
    quick = ctx.call_activity(echo, input="quick")
    never = ctx.wait_for_external_event("never")
    winner = yield task.when_any([never, quick])
    return winner.get_result() if winner is quick else "the wrong one"


@feature.orchestrator
def fails(ctx, _):
    yield ctx.call_activity(sold_out, input="tea")


@feature.orchestrator
def fails_by_breaking(ctx, _):
    yield ctx.call_activity(breaks)


@feature.orchestrator
def catches(ctx, _):
    try:
        yield ctx.call_activity(sold_out, input="tea")
    except task.TaskFailedError as error:
        again = yield ctx.call_activity(upper, input="coffee")
        return [error.details.is_caused_by(StockError), error.details.message, again]


@feature.orchestrator
def raises(ctx, _):
    raise ValueError("the orchestrator itself")


@feature.orchestrator
def unserved(ctx, _):
    yield ctx.call_activity("nobody_has_this")


@feature.orchestrator
def identity(ctx, _):
    yield ctx.call_activity(echo)
    return (yield ctx.call_activity(who_am_i))


@feature.orchestrator
def greets(ctx, city):
    greeting = yield ctx.call_activity("say_hello", input=city)
    return (yield ctx.call_activity(upper, input=greeting))


@feature.orchestrator
def meets_failure(ctx, _):
    try:
        yield ctx.call_activity("failing")
    except task.TaskFailedError as error:
        details = error.details
        return [details.error_type, details.message, details.inner_failure.message, details.inner_failure.properties]


@feature.scenario("activities run one after the other, and each is given what the one before returned")
def _(hub):
    expect(hub.run(chain, "tea"), "TEA!")


@feature.scenario("what an activity is given and returns comes through unchanged")
def _(hub):
    for value in [0, "", "ünïcödé 🌊 \u2028 \"quoted\"", False, None, [1, [2]], {"a": {"b": None}}, 1.5e300]:
        expect(hub.run(echoes, value), value)


@feature.scenario("an activity may return nothing")
def _(hub):
    expect(hub.run(silence), "nothing came back")


@feature.scenario("a fan-out of 100 activities comes back in order")
def _(hub):
    expect(hub.run(fan_out_echo, 100), list(range(100)))


@feature.scenario("a fan-in waits for all, and fails with the one that failed")
def _(hub):
    message, complete = hub.run(fan_in_of_a_failure)
    expect_in("no tea left", message)
    expect(complete, [True, True, True])


@feature.scenario("the first task that is done resolves a race")
def _(hub):
    expect(hub.run(first_of), "quick")


@feature.scenario("a failure that nobody catches fails the orchestration, and is the cause of its failure")
def _(hub):
    failure = hub.failure(fails)
    expect_in("no tea left", failure.message)
    expect(failure.inner_failure.message, "no tea left")
    assert failure.inner_failure.is_caused_by(StockError), failure
    assert failure.inner_failure.stack_trace, "with the stack"


@feature.scenario("the cause and the properties of a failure come through")
def _(hub):
    failure = hub.failure(fails_by_breaking).inner_failure
    expect([failure.message, failure.properties], ["the outside", {"item": "tea", "left": 0.0}])
    expect([failure.inner_failure.error_type, failure.inner_failure.message], ["builtins.KeyError", "'the inside'"])


@feature.scenario("an orchestrator can catch the failure of an activity and go on")
def _(hub):
    caused, message, again = hub.run(catches)
    expect([caused, again], [True, "COFFEE"])
    expect_in("no tea left", message)


@feature.scenario("an orchestrator that raises fails with the type and the message")
def _(hub):
    failure = hub.failure(raises)
    expect([failure.error_type, failure.message], ["builtins.ValueError", "the orchestrator itself"])


@feature.scenario("an activity knows its orchestration and its number")
def _(hub):
    instance = hub.start(identity)
    expect(hub.output(instance), [instance, 2])


@feature.scenario("an activity that no worker has waits, and its orchestration can be terminated")
def _(hub):
    instance = hub.start(unserved)
    hub.until(instance, "RUNNING")
    hub.client.terminate_orchestration(instance, output="nobody has it")
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("a Python orchestrator calls activities in WebAssembly and in Python")
def _(hub):
    expect(hub.run(greets, "Oslo"), "HELLO OSLO!")


@feature.scenario("a Python orchestrator sees the failure of an activity in WebAssembly, its cause and its properties")
def _(hub):
    _, message, inner, properties = hub.run(meets_failure)
    expect([message, inner], ["the outside noticed", "the inside broke"])
    expect(properties, {"part": "cog"})


@feature.scenario("an orchestrator in WebAssembly calls an activity in Python")
def _(hub):
    expect(hub.run("call_foreign", {"name": "upper", "input": "loud"}), "LOUD")


@feature.scenario("an orchestrator in WebAssembly sees the failure of an activity in Python, its cause and its properties")
def _(hub):
    failure = hub.failure("call_foreign", {"name": "breaks", "input": None})
    while not failure.is_caused_by(StockError):
        failure = failure.inner_failure
    expect([failure.message, failure.properties], ["the outside", {"item": "tea", "left": 0.0}])
    expect(failure.inner_failure.message, "'the inside'")


@feature.scenario("the output is not returned to those who do not ask for it")
def _(hub):
    instance = hub.start(echoes, "in")
    expect(hub.output(instance), "in")
    state = expect_status(hub.client.get_orchestration_state(instance, fetch_payloads=False), "COMPLETED")
    expect([state.serialized_input, state.serialized_output], [None, None])
    expect(parse(hub.state(instance).serialized_input), "in")


@feature.scenario("an orchestrator in WebAssembly fans out to 100 activities in Python")
def _(hub):
    calls = [{"name": "echo", "input": number} for number in range(100)]
    expect(hub.run("foreign_calls", calls), list(range(100)))


@feature.scenario("an orchestrator in WebAssembly catches the failure of an activity in Python, and its cause")
def _(hub):
    types, messages = zip(*hub.run("foreign_failure", {"name": "breaks"}))
    expect(list(messages), ["the outside", "'the inside'"])
    expect([name.split(".")[-1] for name in types], ["StockError", "KeyError"])
