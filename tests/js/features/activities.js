// Activities: results, failures, fan-out and fan-in, with workers in JavaScript and in WebAssembly.
"use strict";

const assert = require("node:assert/strict");
const { TaskFailedError, whenAll, whenAny } = require("@microsoft/durabletask-js");
const { parse } = require("../hub");

class StockError extends Error {
  constructor(message) {
    super(message);
    this.name = "StockError";
  }
}

exports.activities = {
  upper: (_, text) => text.toUpperCase(),
  echo: (_, input) => input,
  later: async (_, input) => await new Promise((resolve) => setTimeout(() => resolve(input), 5)),
  saysNothing: () => undefined,
  soldOut: (_, item) => {
    throw new StockError(`no ${item} left`);
  },
  whoAmI: (context) => [context.orchestrationId, context.taskId],
};

exports.orchestrators = {
  chain: async function* (context, text) {
    const shouted = yield context.callActivity("upper", text);
    return yield context.callActivity("later", `${shouted}!`);
  },
  echoes: async function* (context, input) {
    return yield context.callActivity("echo", input);
  },
  silence: async function* (context) {
    const result = yield context.callActivity("saysNothing");
    return result === undefined ? "nothing came back" : result;
  },
  fanOut: async function* (context, width) {
    const tasks = Array.from({ length: width }, (_, number) => context.callActivity("echo", number));
    const results = yield whenAll(tasks);
    return results.reduce((sum, number) => sum + number, 0);
  },
  firstOf: async function* (context) {
    const quick = context.callActivity("echo", "quick");
    const never = context.waitForExternalEvent("never");
    const winner = yield whenAny([never, quick]);
    return winner === quick ? winner.getResult() : "the wrong one";
  },
  fails: async function* (context) {
    yield context.callActivity("soldOut", "tea");
  },
  catches: async function* (context) {
    try {
      yield context.callActivity("soldOut", "tea");
    } catch (error) {
      assert.ok(error instanceof TaskFailedError);
      return [error.details.errorType, error.details.message, yield context.callActivity("upper", "coffee")];
    }
  },
  unknown: async function* (context) {
    yield context.callActivity("nobodyHasThis");
  },
  identity: async function* (context) {
    return yield context.callActivity("whoAmI");
  },
  greets: async function* (context, city) {
    return yield context.callActivity("upper", yield context.callActivity("say_hello", city));
  },
  meetsFailure: async function* (context) {
    try {
      yield context.callActivity("failing");
    } catch (error) {
      return [error.details.errorType, error.details.message];
    }
  },
};

exports.scenarios = {
  "activities run one after the other, and each is given what the one before returned": async (hub) => {
    assert.equal(await hub.run("chain", "tea"), "TEA!");
  },
  "what an activity is given and returns comes through unchanged": async (hub) => {
    for (const value of [0, "", "ünïcödé 🌊 \u2028 \"quoted\"", false, null, [1, [2]], { a: { b: null } }, 1.5e300]) {
      assert.deepEqual(await hub.run("echoes", value), value);
    }
  },
  "an activity may return nothing": async (hub) => {
    assert.equal(await hub.run("silence"), "nothing came back");
  },
  "a fan-out of 100 activities comes back in order": async (hub) => {
    assert.equal(await hub.run("fanOut", 100), 4950);
  },
  "the first task that is done resolves a race": async (hub) => {
    assert.equal(await hub.run("firstOf"), "quick");
  },
  "a failure of an activity that nobody catches fails the orchestration": async (hub) => {
    const failure = await hub.failure("fails");
    assert.match(failure.message, /no tea left/);
    assert.ok(failure.stackTrace, "with the stack");
  },
  "an orchestrator can catch the failure of an activity, and sees its type and message": async (hub) => {
    const [type, message, next] = await hub.run("catches");
    assert.deepEqual([type, next], ["StockError", "COFFEE"]);
    assert.match(message, /no tea left/);
  },
  "an activity knows its orchestration and its number": async (hub) => {
    const id = await hub.start("identity");
    assert.deepEqual(await hub.output(id), [id, 1]);
  },
  "an activity that no worker has waits, and its orchestration can be terminated": async (hub) => {
    const id = await hub.start("unknown");
    hub.expectStatus(await hub.until(id, "RUNNING"), "RUNNING");
    await hub.client.terminateOrchestration(id, "nobody has it");
    hub.expectStatus(await hub.ended(id), "TERMINATED");
  },
  "a JavaScript orchestrator calls activities in WebAssembly and in JavaScript": async (hub) => {
    assert.equal(await hub.run("greets", "Oslo"), "HELLO OSLO!");
  },
  "a JavaScript orchestrator sees the failure of an activity in WebAssembly": async (hub) => {
    const [, message] = await hub.run("meetsFailure");
    assert.match(message, /the outside noticed/);
  },
  "an orchestrator in WebAssembly calls an activity in JavaScript": async (hub) => {
    assert.equal(await hub.run("call_foreign", { name: "upper", input: "loud" }), "LOUD");
  },
  "an orchestrator in WebAssembly sees the failure of an activity in JavaScript": async (hub) => {
    const failure = await hub.failure("call_foreign", { name: "soldOut", input: "tea" });
    assert.match(failure.message, /no tea left/);
    assert.equal(failure.errorType, "StockError");
  },
  "the output is not returned to those who do not ask for it": async (hub) => {
    const id = await hub.start("echoes", "in");
    assert.equal(await hub.output(id), "in");
    const state = await hub.client.getOrchestrationState(id, false);
    hub.expectStatus(state, "COMPLETED");
    assert.deepEqual([state.serializedInput, state.serializedOutput], [undefined, undefined]);
    assert.equal(parse((await hub.state(id)).serializedInput), "in");
  },
  "an orchestrator in WebAssembly fans out to 100 activities in JavaScript": async (hub) => {
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    assert.deepEqual(await hub.run("foreign_calls", numbers.map((input) => ({ name: "echo", input }))), numbers);
  },
  "an orchestrator in WebAssembly catches the failure of an activity in JavaScript": async (hub) => {
    const [[type, message]] = await hub.run("foreign_failure", { name: "soldOut", input: "tea" });
    assert.deepEqual([type, message], ["StockError", "no tea left"]);
  },
};
