// Versions and work-item filters: who gets what, who waits, and what the SDK's workers do with a version that is not theirs.
//
// The SDK's strategies are the worker's own: `Strict` and `CurrentOrOlder` compare the orchestration's version with the worker's,
// and on a mismatch either fail the orchestration or give it back, each time that it comes. With filters from its registry a
// `Strict` worker asks for its own version alone, so that it never comes to that.
"use strict";

const assert = require("node:assert/strict");
const { VersionFailureStrategy, VersionMatchStrategy } = require("@microsoft/durabletask-js");

const { None, Strict, CurrentOrOlder } = VersionMatchStrategy;
const { Fail, Reject } = VersionFailureStrategy;

/// An orchestrator that tells which worker ran it, and what its version is.
const tells = (who) => (context) => [who, context.version];

const versioning = (version, matchStrategy, failureStrategy = Reject) => ({ version, matchStrategy, failureStrategy });

/// Filters by name, so that every version comes, or some.
const only = (name, ...versions) => ({ orchestrations: [{ name, versions }] });

/// A worker for one orchestrator.
async function offers(hub, name, who, options) {
  await hub.work({ orchestrators: { [name]: tells(who) } }, options);
}

/// That nobody runs an instance. Something else that is started later has come and gone meanwhile.
async function waits(hub, id) {
  await hub.run("bystander");
  await hub.run("bystander");
  hub.expectStatus(await hub.state(id), "PENDING");
}

exports.orchestrators = {
  bystander: () => "done",
  callsChild: async function* (context, [name, version]) {
    return yield context.callSubOrchestrator(name, null, { version });
  },
};

exports.scenarios = {
  "a worker without a strategy runs every version, and the orchestrator is told which it is": async (hub) => {
    await offers(hub, "anyVersion", "w", { versioning: versioning("1.0", None) });
    for (const version of ["", "0.1", "1.0", "7.0-beta+x"]) {
      assert.deepEqual(await hub.run("anyVersion", 1, { version }), ["w", version]);
    }
  },
  "a strict worker that fails mismatches runs its version and fails others": async (hub) => {
    const options = { versioning: versioning("1.0", Strict, Fail), workItemFilters: only("strictFails") };
    await offers(hub, "strictFails", "w", options);
    assert.deepEqual(await hub.run("strictFails", 1, { version: "1.0" }), ["w", "1.0"]);
    for (const version of ["1.1", "0.9", undefined]) {
      const failure = await hub.failure("strictFails", 1, { version });
      assert.equal(failure.errorType, "VersionMismatch");
      assert.match(failure.message, /worker version '1.0'/);
    }
  },
  "a worker for its version and older ones that fails mismatches fails newer ones only": async (hub) => {
    const options = { versioning: versioning("2.0", CurrentOrOlder, Fail), workItemFilters: only("olderFails") };
    await offers(hub, "olderFails", "w", options);
    for (const version of ["2.0", "1.9.9", ""]) {
      assert.deepEqual(await hub.run("olderFails", 1, { version }), ["w", version]);
    }
    for (const version of ["2.0.1", "2.10", "10.0"]) {
      assert.equal((await hub.failure("olderFails", 1, { version })).errorType, "VersionMismatch");
    }
  },
  "what a strict worker gives back is run by a worker of the right version, also one that comes later": async (hub) => {
    const workItemFilters = only("strictRejects");
    await offers(hub, "strictRejects", "first", { versioning: versioning("1.0", Strict), workItemFilters });
    const later = await hub.start("strictRejects", 1, { instanceId: hub.id(), version: "2.0" });
    assert.deepEqual(await hub.run("strictRejects", 1, { version: "1.0" }), ["first", "1.0"]);
    await waits(hub, later);
    await offers(hub, "strictRejects", "second", { versioning: versioning("2.0", Strict), workItemFilters });
    assert.deepEqual(await hub.output(later), ["second", "2.0"]);
    for (const [version, who] of [["1.0", "first"], ["2.0", "second"], ["1.0", "first"], ["2.0", "second"]]) {
      assert.deepEqual(await hub.run("strictRejects", 1, { version }), [who, version]);
    }
  },
  "what a worker for older versions gives back waits for a newer worker, or can be terminated": async (hub) => {
    const workItemFilters = only("olderRejects");
    await offers(hub, "olderRejects", "old", { versioning: versioning("1.5", CurrentOrOlder), workItemFilters });
    assert.deepEqual(await hub.run("olderRejects", 1, { version: "1.4" }), ["old", "1.4"]);
    const [newer, unwanted] = [hub.id(), hub.id()];
    await hub.start("olderRejects", 1, { instanceId: newer, version: "1.6" });
    await hub.start("olderRejects", 1, { instanceId: unwanted, version: "1.7" });
    await waits(hub, newer);
    await hub.client.terminateOrchestration(unwanted, "nobody wants it");
    hub.expectStatus(await hub.ended(unwanted), "TERMINATED");
    await offers(hub, "olderRejects", "new", { versioning: versioning("1.6", CurrentOrOlder), workItemFilters });
    assert.deepEqual(await hub.output(newer), ["new", "1.6"]);
  },
  "filters that a strict worker makes of its registry bring it its own version alone, with its activities": async (hub) => {
    const work = (version) => ({
      orchestrators: {
        byVersion: async function* (context) {
          return [version, context.version, yield context.callActivity("whichActivity")];
        },
      },
      activities: { whichActivity: () => version },
    });
    // With `Fail`, so that an item which comes to the wrong worker shows.
    await hub.work(work("1.0"), { versioning: versioning("1.0", Strict, Fail) });
    await hub.work(work("2.0"), { versioning: versioning("2.0", Strict, Fail) });
    for (const version of ["1.0", "2.0", "1.0", "2.0"]) {
      assert.deepEqual(await hub.run("byVersion", 1, { version }), [version, version, version]);
    }
    const [unversioned, other] = [hub.id(), hub.id()];
    await hub.start("byVersion", 1, { instanceId: unversioned });
    await hub.start("byVersion", 1, { instanceId: other, version: "3.0" });
    await waits(hub, unversioned);
    await waits(hub, other);
    await hub.work(work("3.0"), { versioning: versioning("3.0", Strict, Fail) });
    assert.deepEqual(await hub.output(other), ["3.0", "3.0", "3.0"]);
  },
  "an activity is called with the version of the call": async (hub) => {
    const calls = async function* (context, version) {
      return yield context.callActivity("versionedActivity", null, { version });
    };
    await hub.work({ orchestrators: { callsVersioned: calls } });
    for (const version of ["1", "2"]) {
      const workItemFilters = { activities: [{ name: "versionedActivity", versions: [version] }] };
      await hub.work({ activities: { versionedActivity: () => version } }, { workItemFilters });
    }
    assert.deepEqual([await hub.run("callsVersioned", "1"), await hub.run("callsVersioned", "2")], ["1", "2"]);
  },
  "children get the version of the call, else none": async (hub) => {
    await offers(hub, "versionOfChild", "w");
    assert.deepEqual(await hub.run("callsChild", ["versionOfChild", "1.2"]), ["w", "1.2"]);
    assert.deepEqual(await hub.run("callsChild", ["versionOfChild"]), ["w", ""]);
  },
  "an item that no filter lets through waits, stands in nobody's way, and runs when a worker for it connects": async (hub) => {
    const waiting = [];
    for (let n = 0; n < 5; n += 1) {
      waiting.push(await hub.start("comesLater", n));
    }
    await waits(hub, waiting[4]);
    await offers(hub, "comesLater", "w");
    for (const id of waiting) {
      assert.deepEqual(await hub.output(id), ["w", ""]);
    }
  },
  "a filter for versions lets through those alone, and the empty version is none": async (hub) => {
    await offers(hub, "byFilter", "w", { workItemFilters: only("byFilter", "1.0", "1.1") });
    assert.deepEqual(await hub.run("byFilter", 1, { version: "1.1" }), ["w", "1.1"]);
    const [other, unversioned] = [hub.id(), hub.id()];
    await hub.start("byFilter", 1, { instanceId: other, version: "1.2" });
    await hub.start("byFilter", 1, { instanceId: unversioned });
    await waits(hub, other);
    await waits(hub, unversioned);
    await offers(hub, "byFilter", "unversioned", { workItemFilters: only("byFilter", "") });
    assert.deepEqual(await hub.output(unversioned), ["unversioned", ""]);
    await waits(hub, other);
  },
  "an activity that no filter lets through waits, and runs when a worker for it connects": async (hub) => {
    const calls = async function* (context) {
      return yield context.callActivity("filteredActivity", 1);
    };
    const work = { orchestrators: { callsFiltered: calls }, activities: { filteredActivity: () => "wrong" } };
    await hub.work(work, { workItemFilters: only("callsFiltered") });
    const id = await hub.start("callsFiltered");
    await hub.until(id, "RUNNING");
    await hub.run("bystander");
    await hub.work({ activities: { filteredActivity: (_, n) => n + 1 } });
    assert.equal(await hub.output(id), 2);
  },
  "an orchestrator in WebAssembly is called by its version, and another version of it waits": async (hub) => {
    assert.equal((await hub.run("callsChild", ["started_with", "1.0.0"])).version, "1.0.0");
    const id = await hub.start("started_with", 1, { instanceId: hub.id(), version: "99.0.0" });
    await waits(hub, id);
    await hub.client.terminateOrchestration(id);
    hub.expectStatus(await hub.ended(id), "TERMINATED");
  },
  "a JavaScript worker takes over a version of a WebAssembly orchestrator's name": async (hub) => {
    await offers(hub, "observe", "javascript", { workItemFilters: only("observe", "99.0.0") });
    assert.deepEqual(await hub.run("observe", 1, { version: "99.0.0" }), ["javascript", "99.0.0"]);
    assert.equal((await hub.run("observe", null)).length, 2);
  },
  "an orchestrator in WebAssembly calls a version of a JavaScript child and of a JavaScript activity": async (hub) => {
    for (const version of ["1.0", "2.0"]) {
      await offers(hub, "chosenChild", version, { versioning: versioning(version, Strict, Fail) });
      const workItemFilters = { activities: [{ name: "chosenActivity", versions: [version] }] };
      await hub.work({ activities: { chosenActivity: () => version } }, { workItemFilters });
    }
    for (const version of ["1.0", "2.0"]) {
      const child = { name: "chosenChild", child: true, version };
      assert.deepEqual(await hub.run("foreign_call", child), [version, version]);
      assert.equal(await hub.run("foreign_call", { name: "chosenActivity", version }), version);
    }
  },
};
