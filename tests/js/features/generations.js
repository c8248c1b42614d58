// Continue-as-new: inputs, events and statuses across the executions of one instance.
"use strict";

const assert = require("node:assert/strict");
const { whenAll, whenAny } = require("@microsoft/durabletask-js");
const { eventually, parse } = require("../hub");

exports.activities = {
  plusOne: (_, number) => number + 1,
};

exports.orchestrators = {
  countsTo: async function* (context, [number, last]) {
    context.setCustomStatus(`generation ${number}`);
    if (number === last) {
      return [number, context.version];
    }
    context.continueAsNew([yield context.callActivity("plusOne", number), last], false);
  },
  takesOneAGeneration: async function* (context, [taken, count]) {
    taken.push(yield context.waitForExternalEvent("item"));
    if (taken.length === count) {
      return taken;
    }
    context.continueAsNew([taken, count], true);
  },
  dropsWhatItDidNotTake: async function* (context, generation) {
    if (generation === 1) {
      context.setCustomStatus("first");
      yield context.waitForExternalEvent("next");
      context.continueAsNew(2, false);
      return;
    }
    context.setCustomStatus("second");
    const item = context.waitForExternalEvent("item");
    yield whenAny([item, context.waitForExternalEvent("end")]);
    return item.isComplete ? item.getResult() : "no item";
  },
  leavesWorkBehind: async function* (context, generation) {
    if (generation < 5) {
      context.callActivity("plusOne", 100);
      context.createTimer(0.005);
      context.callSubOrchestrator("countsTo", [1, 1]);
      yield context.createTimer(0.001);
      context.continueAsNew(generation + 1, false);
      return;
    }
    yield context.createTimer(0.05);
    return yield context.callActivity("plusOne", 1);
  },
  tellsWhileItContinues: async function* (context, [receiver, number]) {
    context.sendEvent(receiver, "item", number);
    if (number === 3) {
      return "told";
    }
    context.continueAsNew([receiver, number + 1], false);
  },
  takesThree: async function* (context) {
    context.setCustomStatus("waiting");
    return [
      yield context.waitForExternalEvent("item"),
      yield context.waitForExternalEvent("item"),
      yield context.waitForExternalEvent("item"),
    ];
  },
  makesChildrenEachGeneration: async function* (context, left) {
    const tasks = [context.callActivity("plusOne", left), context.callSubOrchestrator("countsTo", [1, 2])];
    const results = yield whenAll(tasks);
    if (left === 0) {
      return results;
    }
    context.continueAsNew(left - 1, false);
  },
};

exports.scenarios = {
  "each generation gets the input that the one before gave it, and the last one's output is the instance's": async (hub) => {
    const id = await hub.start("countsTo", [1, 20]);
    assert.deepEqual(await hub.output(id), [20, ""]);
    const state = await hub.state(id);
    assert.deepEqual(parse(state.serializedInput), [20, 20]);
    assert.equal(parse(state.serializedCustomStatus), "generation 20");
  },
  "only the last generation's history is kept, under another execution id, and the time of creation stays": async (hub) => {
    const id = await hub.start("takesOneAGeneration", [[], 2]);
    const before = await hub.until(id, "RUNNING");
    const execution = async () => (await hub.history(id))[1]?.orchestrationInstance.executionId;
    const first = await execution();
    await hub.client.raiseOrchestrationEvent(id, "item", 1);
    await eventually("it has another execution id", async () => ![undefined, first].includes(await execution()));
    await hub.client.raiseOrchestrationEvent(id, "item", 2);
    assert.deepEqual(await hub.output(id), [1, 2]);
    const expected = ["OrchestratorStarted", "ExecutionStarted", "OrchestratorStarted", "EventRaised", "ExecutionCompleted"];
    assert.deepEqual(await hub.events(id), expected);
    assert.deepEqual((await hub.state(id)).createdAt, before.createdAt);
  },
  "events that a generation did not take are handed to the next if it asks for that, none lost, in order": async (hub) => {
    const id = await hub.start("takesOneAGeneration", [[], 250]);
    for (let n = 0; n < 250; n += 1) {
      await hub.client.raiseOrchestrationEvent(id, "item", n);
    }
    assert.deepEqual(await hub.output(id), Array.from({ length: 250 }, (_, n) => n));
  },
  "events that a generation did not take are dropped if it does not ask for them": async (hub) => {
    const id = await hub.start("dropsWhatItDidNotTake", 1);
    await hub.says(id, "first");
    await hub.client.raiseOrchestrationEvent(id, "item", "old");
    await hub.client.raiseOrchestrationEvent(id, "next");
    await hub.says(id, "second");
    await hub.client.raiseOrchestrationEvent(id, "end");
    assert.equal(await hub.output(id), "no item");
  },
  "activities, timers and children of an earlier generation do not reach a later one": async (hub) => {
    assert.equal(await hub.run("leavesWorkBehind", 1), 2);
  },
  "events that are sent together with continue-as-new arrive, once each": async (hub) => {
    const receiver = await hub.start("takesThree");
    await hub.says(receiver, "waiting");
    assert.equal(await hub.run("tellsWhileItContinues", [receiver, 1]), "told");
    assert.deepEqual(await hub.output(receiver), [1, 2, 3]);
  },
  "the version stays in every generation": async (hub) => {
    assert.deepEqual(await hub.run("countsTo", [1, 3], { version: "1.5" }), [3, "1.5"]);
  },
  "each generation gets children of its own under default ids": async (hub) => {
    assert.deepEqual(await hub.run("makesChildrenEachGeneration", 3), [1, [2, ""]]);
  },
  "an instance that continues as new can be terminated, in whatever turn the termination comes": async (hub) => {
    for (let n = 0; n < 5; n += 1) {
      const id = await hub.start("takesOneAGeneration", [[], 1000]);
      await hub.client.raiseOrchestrationEvent(id, "item");
      await hub.client.terminateOrchestration(id, "stop");
      hub.expectStatus(await hub.ended(id), "TERMINATED");
    }
  },
  "a client waits for an orchestrator in WebAssembly through its generations": async (hub) => {
    assert.equal(await hub.run("generations", 20), 0);
  },
  "events of a JavaScript client reach the generations of an orchestrator in WebAssembly, none lost, in order": async (
    hub,
  ) => {
    const id = await hub.start("foreign_items", { taken: [], count: 250 });
    for (let n = 0; n < 250; n += 1) {
      await hub.client.raiseOrchestrationEvent(id, "Item", n);
    }
    assert.deepEqual(await hub.output(id), Array.from({ length: 250 }, (_, n) => n));
  },
};
