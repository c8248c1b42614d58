// Queries, lists of ids, and purges.
"use strict";

const assert = require("node:assert/strict");
const { OrchestrationStatus: Status, PurgeInstanceCriteria } = require("@microsoft/durabletask-js");
const { code, parse, refused } = require("../hub");

// One scenario after the other: they look at all instances of the hub.
exports.alone = true;

exports.orchestrators = {
  endsWith: (context, input) => {
    context.setCustomStatus(["given", input]);
    return input;
  },
  endsBadly: () => {
    throw new RangeError("badly");
  },
  neverEnds: async function* (context) {
    context.setCustomStatus("waiting");
    yield context.waitForExternalEvent("end");
  },
  hasFamily: async function* (context, depth) {
    for (let n = 0; depth > 0 && n < 2; n += 1) {
      yield context.callSubOrchestrator("hasFamily", depth - 1, { instanceId: `${context.instanceId}-${n}` });
    }
  },
  hasAForeignChild: async function* (context, instanceId) {
    yield context.callSubOrchestrator("generations", 0, { instanceId });
  },
};

const query = async (hub, filter) => await Array.fromAsync(hub.client.getAllInstances(filter));
const ids = (states) => states.map((state) => state.instanceId).sort();
const own = (hub, list) => list.filter((id) => id.startsWith(hub.prefixOfIds()));
const purge = async (hub, ...args) => (await hub.client.purgeOrchestration(...args)).deletedInstanceCount;

/// An instance in each status, by the status.
async function oneOfEach(hub) {
  const made = {
    COMPLETED: await hub.start("endsWith", { a: 1 }),
    FAILED: await hub.start("endsBadly"),
    TERMINATED: await hub.start("neverEnds"),
    RUNNING: await hub.start("neverEnds"),
    SUSPENDED: await hub.start("neverEnds"),
    PENDING: await hub.start("nobodyRunsThis"),
  };
  for (const status of ["TERMINATED", "RUNNING", "SUSPENDED"]) {
    await hub.says(made[status], "waiting");
  }
  await hub.client.suspendOrchestration(made.SUSPENDED);
  await hub.client.terminateOrchestration(made.TERMINATED);
  for (const [status, id] of Object.entries(made)) {
    await hub.until(id, status);
  }
  return made;
}

/// Instances whose times of creation differ by more than the millisecond that the SDK can tell.
async function apart(hub, count) {
  const made = [];
  while (made.length < count) {
    const id = await hub.start("endsWith", made.length);
    made.push([id, (await hub.ended(id)).createdAt]);
    const last = made.at(-1)[1].getTime();
    while (Date.now() <= last + 1) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return made;
}

exports.scenarios = {
  "a query without a filter finds every instance": async (hub) => {
    const made = await oneOfEach(hub);
    const found = ids(await query(hub));
    assert.deepEqual(Object.values(made).filter((id) => !found.includes(id)), []);
    assert.equal(new Set(found).size, found.length);
  },
  "a query by status finds the instances in one of the statuses": async (hub) => {
    const made = await oneOfEach(hub);
    const instanceIdPrefix = hub.prefixOfIds();
    for (const [status, id] of Object.entries(made)) {
      assert.deepEqual(ids(await query(hub, { statuses: [Status[status]], instanceIdPrefix })), [id], status);
    }
    const found = await query(hub, { statuses: [Status.FAILED, Status.PENDING], instanceIdPrefix });
    assert.deepEqual(ids(found), [made.FAILED, made.PENDING].sort());
  },
  "a query by prefix finds the ids that begin so": async (hub) => {
    const prefix = hub.id();
    for (const ending of ["a", "ab", "b", "%", "ü"]) {
      await hub.start("endsWith", 1, { instanceId: prefix + ending });
    }
    for (const [ending, expected] of [["a", ["a", "ab"]], ["%", ["%"]], ["ü", ["ü"]], ["c", []]]) {
      const found = await query(hub, { instanceIdPrefix: prefix + ending });
      assert.deepEqual(ids(found), expected.map((end) => prefix + end));
    }
  },
  "a query by the time of creation": async (hub) => {
    const [[first], [second, from], [third, to]] = await apart(hub, 3);
    assert.deepEqual(ids(await query(hub, { createdFrom: from, createdTo: to })), [second]);
    const instanceIdPrefix = hub.prefixOfIds();
    assert.deepEqual(ids(await query(hub, { createdFrom: from, instanceIdPrefix })), [second, third].sort());
    assert.deepEqual(ids(await query(hub, { createdTo: from, instanceIdPrefix })), [first]);
  },
  "a query returns inputs and outputs only if they are asked for": async (hub) => {
    const [good, bad] = [await hub.start("endsWith", { a: 1 }), await hub.start("endsBadly", "in")];
    await hub.output(good);
    await hub.ended(bad);
    const by = (states) => Object.fromEntries(states.map((state) => [state.instanceId, state]));
    const brief = by(await query(hub, { instanceIdPrefix: hub.prefixOfIds() }));
    assert.deepEqual([brief[good].name, brief[good].serializedInput], ["endsWith", undefined]);
    assert.equal(brief[bad].failureDetails.message, "badly");
    const full = by(await query(hub, { instanceIdPrefix: hub.prefixOfIds(), fetchInputsAndOutputs: true }));
    assert.deepEqual([parse(full[good].serializedInput), parse(full[good].serializedOutput)], [{ a: 1 }, { a: 1 }]);
    assert.deepEqual(parse(full[good].serializedCustomStatus), ["given", { a: 1 }]);
    assert.deepEqual(full[good], await hub.state(good));
  },
  "pages have at most the size that was asked for, and each instance once": async (hub) => {
    const made = [];
    for (let n = 0; n < 60; n += 1) {
      made.push(await hub.start("endsWith", n));
    }
    for (const size of [1, 7, 60, 1000]) {
      const found = [];
      for await (const page of hub.client.getAllInstances({ instanceIdPrefix: hub.prefixOfIds() }).asPages(undefined, size)) {
        assert.ok(page.values.length <= size, `a page of ${page.values.length}`);
        assert.equal(page.hasMoreResults, page.continuationToken !== undefined);
        found.push(...page.values);
      }
      assert.deepEqual(ids(found), [...made].sort(), `pages of ${size}`);
    }
  },
  "pages miss no instance that stays and show none twice while others come, go and change": async (hub) => {
    const stay = [];
    const go = [];
    for (let n = 0; n < 40; n += 1) {
      (n % 2 ? stay : go).push(await hub.start("endsWith", n));
    }
    for (const id of [...stay, ...go]) {
      await hub.output(id);
    }
    const found = [];
    let token;
    do {
      const pages = hub.client.getAllInstances({ instanceIdPrefix: hub.prefixOfIds() }).asPages(token, 5);
      const page = (await pages[Symbol.asyncIterator]().next()).value;
      found.push(...ids(page.values));
      token = page.continuationToken;
      if (go.length > 0) {
        await purge(hub, go.shift());
        await hub.start("endsWith", "another");
      }
    } while (token);
    assert.equal(new Set(found).size, found.length, "none twice");
    assert.deepEqual(stay.filter((id) => !found.includes(id)), [], "none missing");
  },
  "a token that is none is INVALID_ARGUMENT": async (hub) => {
    await refused(code.INVALID_ARGUMENT, () => query(hub, { continuationToken: "made up" }));
    await refused(code.INVALID_ARGUMENT, () => hub.client.listInstanceIds({ lastInstanceKey: "made up" }));
  },
  "a list of ids has the instances that have ended, by status and in pages": async (hub) => {
    const made = await oneOfEach(hub);
    const found = [];
    let lastInstanceKey;
    do {
      const page = await hub.client.listInstanceIds({ pageSize: 4, lastInstanceKey });
      assert.ok(page.values.length <= 4);
      found.push(...page.values);
      lastInstanceKey = page.continuationToken;
    } while (lastInstanceKey);
    assert.equal(new Set(found).size, found.length);
    assert.deepEqual(own(hub, found).sort(), [made.COMPLETED, made.FAILED, made.TERMINATED].sort());
    const failed = await hub.client.listInstanceIds({ runtimeStatus: [Status.FAILED], pageSize: 1000 });
    assert.deepEqual(own(hub, failed.values), [made.FAILED]);
  },
  "a purge by id leaves nothing behind, and frees the id": async (hub) => {
    const id = await hub.start("endsWith", 1);
    await hub.output(id);
    assert.equal(await purge(hub, id), 1);
    assert.equal(await hub.state(id), undefined);
    assert.deepEqual(await hub.events(id), []);
    assert.deepEqual(await query(hub, { instanceIdPrefix: id }), []);
    assert.equal(await purge(hub, id), 0);
    assert.equal(await hub.run("endsWith", "again", { instanceId: id }), "again");
  },
  "an instance that has not ended, or does not exist, is not purged": async (hub) => {
    const id = await hub.start("neverEnds");
    await hub.says(id, "waiting");
    assert.equal(await purge(hub, id), 0);
    hub.expectStatus(await hub.state(id), "RUNNING");
    assert.equal(await purge(hub, hub.id("nobody")), 0);
  },
  "a recursive purge takes all descendants, and one that is not leaves them": async (hub) => {
    for (const [recursive, count] of [[true, 7], [false, 1]]) {
      const top = await hub.start("hasFamily", 2);
      hub.expectStatus(await hub.ended(top), "COMPLETED");
      assert.equal(await purge(hub, top, { recursive }), count);
      assert.equal((await query(hub, { instanceIdPrefix: top })).length, 7 - count);
    }
  },
  "a purge of a JavaScript parent takes its child in WebAssembly along": async (hub) => {
    const child = hub.id("child");
    const top = await hub.start("hasAForeignChild", child);
    hub.expectStatus(await hub.ended(top), "COMPLETED");
    assert.equal(await purge(hub, top, { recursive: true }), 2);
    assert.equal(await hub.state(child), undefined);
  },
  "a purge by filter takes what fits and has ended": async (hub) => {
    const [[before], [after]] = await apart(hub, 2);
    const made = await oneOfEach(hub);
    const criteria = new PurgeInstanceCriteria();
    criteria.setCreatedTimeFrom((await hub.state(after)).createdAt);
    criteria.setRuntimeStatusList([Status.FAILED]);
    assert.equal(await purge(hub, criteria), 1);
    assert.equal(await hub.state(made.FAILED), undefined);
    criteria.setRuntimeStatusList([]);
    assert.equal(await purge(hub, criteria), 3);
    for (const status of ["RUNNING", "SUSPENDED", "PENDING"]) {
      hub.expectStatus(await hub.state(made[status]), status);
    }
    hub.expectStatus(await hub.state(before), "COMPLETED");
  },
};
