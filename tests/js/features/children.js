// Sub-orchestrations: ids, results, failures, parents and children in JavaScript and in WebAssembly.
"use strict";

const assert = require("node:assert/strict");
const { whenAll } = require("@microsoft/durabletask-js");
const { eventually } = require("../hub");

exports.activities = {
  addOne: (_, number) => number + 1,
  noBread: () => {
    throw new TypeError("no bread");
  },
};

exports.orchestrators = {
  addsOne: async function* (context, number) {
    return yield context.callActivity("addOne", number);
  },
  tellsItsParent: async function* (context) {
    return [context.instanceId, context.parent];
  },
  failsForBread: async function* (context) {
    yield context.callActivity("noBread");
  },
  waits: async function* (context) {
    context.setCustomStatus("waiting");
    return yield context.waitForExternalEvent("go");
  },
  countsDown: async function* (context, left) {
    if (left === 0) {
      return `none left for ${context.parent.instanceId}`;
    }
    yield context.callActivity("addOne", left);
    context.continueAsNew(left - 1, false);
  },
  nests: async function* (context, depth) {
    if (depth === 0) {
      return [context.instanceId];
    }
    return [context.instanceId, ...(yield context.callSubOrchestrator("nests", depth - 1))];
  },
  calls: async function* (context, { name, input, id, catches, tags }) {
    const child = context.callSubOrchestrator(name, input, { instanceId: id, tags });
    context.setCustomStatus("waiting for the child");
    try {
      return yield child;
    } catch (error) {
      if (!catches) {
        throw error;
      }
      return [error.details.errorType, error.details.message];
    }
  },
  callsTwice: async function* (context, instanceId) {
    const first = yield context.callSubOrchestrator("addsOne", 1, { instanceId });
    return [first, yield context.callSubOrchestrator("addsOne", first, { instanceId })];
  },
  fansOutChildren: async function* (context, width) {
    return yield whenAll(Array.from({ length: width }, (_, n) => context.callSubOrchestrator("addsOne", n)));
  },
  startsAndForgets: async function* (context, instanceId) {
    context.callSubOrchestrator("addsOne", 41, { instanceId });
    return "gone";
  },
};

/// The id of the first child.
async function childOf(hub, id) {
  const created = await eventually(`${id} has a child`, async () =>
    (await hub.client.getOrchestrationHistory(id)).find((event) => event.type === "SubOrchestrationInstanceCreated"),
  );
  return created.instanceId;
}

exports.scenarios = {
  "a child returns its result, under the id that it is given": async (hub) => {
    const child = hub.id("child");
    assert.equal(await hub.run("calls", { name: "addsOne", input: 1, id: child }), 2);
    assert.equal(await hub.output(child), 2);
  },
  "a child without an id gets its parent's execution id and its number, and knows its parent": async (hub) => {
    const parent = await hub.start("calls", { name: "tellsItsParent" });
    const [child, link] = await hub.output(parent);
    const [, started] = await hub.client.getOrchestrationHistory(parent);
    assert.equal(child, `${started.orchestrationInstance.executionId}:0001`);
    assert.deepEqual(link, { name: "calls", instanceId: parent, taskScheduledId: 1 });
  },
  "children nest": async (hub) => {
    const top = await hub.start("nests", 4);
    const ids = await hub.output(top);
    assert.deepEqual([ids.length, new Set(ids).size, ids[0]], [5, 5, top]);
  },
  "30 children side by side come back in order": async (hub) => {
    assert.deepEqual(await hub.run("fansOutChildren", 30), Array.from({ length: 30 }, (_, n) => n + 1));
  },
  "a child that fails fails its parent": async (hub) => {
    assert.match((await hub.failure("calls", { name: "failsForBread" })).message, /no bread/);
  },
  "a parent can catch the failure of its child, which comes through unchanged": async (hub) => {
    const child = hub.id("child");
    const caught = await hub.run("calls", { name: "failsForBread", id: child, catches: true });
    const own = (await hub.ended(child)).failureDetails;
    assert.deepEqual(caught, [own.errorType, own.message]);
  },
  "a child that is terminated fails its parent": async (hub) => {
    const child = hub.id("child");
    const parent = await hub.start("calls", { name: "waits", id: child, catches: true });
    await hub.says(child, "waiting");
    await hub.client.terminateOrchestration(child, "enough");
    assert.match((await hub.output(parent))[1], /terminated/i);
  },
  "a child under the id of a running instance fails, and does not touch that instance": async (hub) => {
    const taken = await hub.start("waits");
    await hub.says(taken, "waiting");
    const [, message] = await hub.run("calls", { name: "addsOne", input: 1, id: taken, catches: true });
    assert.ok(message.includes(taken), message);
    await hub.client.raiseOrchestrationEvent(taken, "go", "still here");
    assert.equal(await hub.output(taken), "still here");
  },
  "a child under the id of a finished instance replaces it": async (hub) => {
    assert.deepEqual(await hub.run("callsTwice", hub.id("child")), [2, 3]);
  },
  "a child that continues as new answers its parent from its last generation": async (hub) => {
    const parent = await hub.start("calls", { name: "countsDown", input: 5 });
    assert.equal(await hub.output(parent), `none left for ${parent}`);
  },
  "a child that its parent does not wait for runs on when the parent has ended": async (hub) => {
    const child = hub.id("child");
    assert.equal(await hub.run("startsAndForgets", child), "gone");
    await eventually("the child is there", () => hub.state(child));
    assert.equal(await hub.output(child), 42);
  },
  "an event reaches a child by its id": async (hub) => {
    const parent = await hub.start("calls", { name: "waits" });
    const child = await childOf(hub, parent);
    await hub.says(child, "waiting");
    await hub.client.raiseOrchestrationEvent(child, "go", [1]);
    assert.deepEqual(await hub.output(parent), [1]);
  },
  "a child has the tags of its call": async (hub) => {
    const child = hub.id("child");
    await hub.run("calls", { name: "addsOne", input: 1, id: child, tags: { colour: "red" } });
    assert.deepEqual((await hub.state(child)).tags, { colour: "red" });
  },
  "a JavaScript parent runs children in WebAssembly, under default ids and under given ones": async (hub) => {
    const parent = await hub.start("calls", { name: "started_with", input: { a: 1 } });
    const child = await hub.output(parent);
    assert.deepEqual([child.id, child.parent, child.input], [await childOf(hub, parent), parent, { a: 1 }]);
    const given = hub.id("child");
    assert.equal((await hub.run("calls", { name: "started_with", input: 1, id: given })).id, given);
  },
  "a JavaScript parent sees the failure of a child in WebAssembly": async (hub) => {
    const [, message] = await hub.run("calls", { name: "fail_with_causes", catches: true });
    assert.match(message, /reading the number/);
  },
  "a child in WebAssembly that continues as new answers its JavaScript parent": async (hub) => {
    assert.equal(await hub.run("calls", { name: "generations", input: 5 }), 0);
  },
  "a parent in WebAssembly runs a child in JavaScript": async (hub) => {
    const parent = await hub.start("start_foreign", { name: "tellsItsParent", input: null });
    const [child, link] = await hub.output(parent);
    assert.equal(link.instanceId, parent);
    assert.equal(child, await childOf(hub, parent));
  },
  "a parent in WebAssembly sees the failure of a child in JavaScript": async (hub) => {
    const failure = await hub.failure("start_foreign", { name: "failsForBread", input: null });
    assert.match(failure.message, /no bread/);
  },
  "a JavaScript child that continues as new answers its parent in WebAssembly": async (hub) => {
    const parent = await hub.start("start_foreign", { name: "countsDown", input: 3 });
    assert.equal(await hub.output(parent), `none left for ${parent}`);
  },
  "JavaScript, WebAssembly and JavaScript again: three levels": async (hub) => {
    const middle = { name: "start_foreign", input: { name: "addsOne", input: 6 } };
    assert.equal(await hub.run("calls", middle), 7);
  },
  "a parent in WebAssembly gives its JavaScript child an id, and runs 30 of them side by side": async (hub) => {
    const child = hub.id("child");
    assert.equal(await hub.run("foreign_call", { name: "addsOne", child: true, id: child, input: 1 }), 2);
    assert.equal(await hub.output(child), 2);
    const family = Array.from({ length: 30 }, (_, n) => ({ name: "addsOne", child: true, input: n }));
    assert.deepEqual(await hub.run("foreign_calls", family), family.map(({ input }) => input + 1));
  },
  "a parent in WebAssembly catches that its JavaScript child was terminated": async (hub) => {
    const child = hub.id("child");
    const parent = await hub.start("foreign_failure", { name: "waits", child: true, id: child });
    await hub.says(child, "waiting");
    await hub.client.terminateOrchestration(child, "enough");
    assert.match((await hub.output(parent))[0][1], /terminated/i);
  },
};
