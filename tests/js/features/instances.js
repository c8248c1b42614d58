// Starting instances, ids that are taken, and waiting for them. The SDK cannot say which statuses may be replaced.
"use strict";

const assert = require("node:assert/strict");
const { TimeoutError } = require("@microsoft/durabletask-js/dist/exception/timeout-error");
const { code, parse, refused } = require("../hub");

exports.orchestrators = {
  returns: (_, input) => input,
  failsAtOnce: () => {
    throw new RangeError("at once");
  },
  waitsToGo: async function* (context, input) {
    context.setCustomStatus("waiting");
    return [input, yield context.waitForExternalEvent("go")];
  },
};

exports.scenarios = {
  "an instance without an id gets one": async (hub) => {
    const [one, other] = [
      await hub.client.scheduleNewOrchestration("returns"),
      await hub.client.scheduleNewOrchestration("returns"),
    ];
    assert.ok(one && other && one !== other);
    hub.expectStatus(await hub.ended(one), "COMPLETED");
  },
  "ids may hold what other systems put into them": async (hub) => {
    for (const id of ["with space", "slash/es", "ünïcödé-🌊", "colon:s", "a@b", "%41", "x".repeat(900)]) {
      assert.equal(await hub.run("returns", id, { instanceId: hub.id(id) }), id);
    }
  },
  "a state has the name, the input, and times that do not run backwards": async (hub) => {
    const before = Date.now() - 5000;
    const id = await hub.start("returns", { a: 1 });
    const state = await hub.ended(id);
    assert.deepEqual([state.instanceId, state.name, parse(state.serializedInput)], [id, "returns", { a: 1 }]);
    assert.ok(before < state.createdAt.getTime() && state.createdAt <= state.lastUpdatedAt, state);
  },
  "an instance starts when it is scheduled to, is pending until then, and a time in the past means now": async (hub) => {
    const startAt = new Date(Date.now() + 400);
    const id = await hub.start("returns", 1, { startAt });
    hub.expectStatus(await hub.state(id), "PENDING");
    await hub.client.waitForOrchestrationStart(id, false, 30);
    assert.ok(Date.now() >= startAt.getTime(), "it started early");
    assert.equal(await hub.output(id), 1);
    assert.deepEqual((await hub.client.getOrchestrationHistory(id))[1].scheduledStartTimestamp, startAt);
    assert.equal(await hub.run("returns", 2, { startAt: new Date(Date.now() - 1000) }), 2);
  },
  "an id that is taken is ALREADY_EXISTS, also when that instance has ended": async (hub) => {
    for (const [name, status] of [["returns", "COMPLETED"], ["failsAtOnce", "FAILED"], ["waitsToGo", "RUNNING"]]) {
      const id = await hub.start(name);
      await hub.until(id, status);
      const error = await refused(code.ALREADY_EXISTS, () => hub.start("returns", 1, { instanceId: id }));
      assert.ok(error.message.includes(id), error.message);
    }
  },
  "of many starts under one id exactly one wins": async (hub) => {
    const instanceId = hub.id();
    const starts = Array.from({ length: 20 }, (_, n) => hub.start("returns", n, { instanceId }).then(() => n));
    const outcomes = await Promise.allSettled(starts);
    const won = outcomes.filter(({ status }) => status === "fulfilled");
    assert.equal(won.length, 1);
    assert.ok(outcomes.every(({ reason }) => reason === undefined || reason.code === code.ALREADY_EXISTS));
    assert.equal(await hub.output(instanceId), won[0].value);
  },
  "a start without a name, or under an id of an entity, is INVALID_ARGUMENT": async (hub) => {
    await refused(code.INVALID_ARGUMENT, () => hub.start("", 1));
    await refused(code.INVALID_ARGUMENT, () => hub.start("returns", 1, { instanceId: "@entity@key" }));
    await refused(code.INVALID_ARGUMENT, () => hub.start("returns", 1, { instanceId: "x".repeat(1025) }));
  },
  "an orchestrator that its worker does not have fails, since a worker without a filter takes everything": async (hub) => {
    const other = await hub.work({ orchestrators: {} }, { workItemFilters: { orchestrations: [{ name: "unknownHere" }] } });
    const failure = await hub.failure("unknownHere");
    assert.match(failure.message, /unknownHere/);
    assert.ok(other);
  },
  "waiting for the start returns when it has started, and at once when it has ended": async (hub) => {
    const id = await hub.start("waitsToGo", "input");
    const state = await hub.client.waitForOrchestrationStart(id, true, 30);
    hub.expectStatus(state, "RUNNING");
    assert.equal(parse(state.serializedInput), "input");
    await hub.client.raiseOrchestrationEvent(id, "go");
    await hub.output(id);
    hub.expectStatus(await hub.client.waitForOrchestrationStart(id, false, 30), "COMPLETED");
  },
  "waiting returns payloads only if they are asked for": async (hub) => {
    const id = await hub.start("returns", "in");
    const brief = await hub.client.waitForOrchestrationCompletion(id, false, 30);
    assert.deepEqual([brief.serializedInput, brief.serializedOutput], [undefined, undefined]);
    const full = await hub.client.waitForOrchestrationCompletion(id, true, 30);
    assert.deepEqual([full.serializedInput, full.serializedOutput], ['"in"', '"in"']);
  },
  "waiting ends when the client's patience does": async (hub) => {
    const id = await hub.start("waitsToGo");
    await hub.says(id, "waiting");
    await assert.rejects(hub.client.waitForOrchestrationCompletion(id, true, 0.2), TimeoutError);
  },
  "an instance that does not exist has no state, and waiting for it ends at once": async (hub) => {
    const nobody = hub.id("nobody");
    assert.equal(await hub.state(nobody), undefined);
    assert.equal(await hub.client.waitForOrchestrationStart(nobody, true, 30), undefined);
    assert.equal(await hub.client.waitForOrchestrationCompletion(nobody, true, 30), undefined);
  },
  "many wait for one instance, and all are told": async (hub) => {
    const id = await hub.start("waitsToGo", "x");
    const waiting = Array.from({ length: 50 }, () => hub.output(id));
    await hub.says(id, "waiting");
    await hub.client.raiseOrchestrationEvent(id, "go", 1);
    assert.deepEqual(await Promise.all(waiting), waiting.map(() => ["x", 1]));
  },
  "a JavaScript client starts orchestrators in WebAssembly, with all that it can give them": async (hub) => {
    const [startAt, instanceId] = [new Date(Date.now() + 200), hub.id("wasm")];
    await hub.start("started_with", { a: [1] }, { instanceId, startAt, tags: { t: "1" } });
    const out = await hub.output(instanceId);
    assert.deepEqual([out.id, out.name, out.input, out.tags], [instanceId, "started_with", { a: [1] }, [["t", "1"]]]);
    assert.ok(Date.now() >= startAt.getTime());
    await refused(code.ALREADY_EXISTS, () => hub.start("started_with", 1, { instanceId }));
  },
};
