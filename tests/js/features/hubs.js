// Task hubs: the header `taskhub` on every call of a client and of a worker. The scheduler has the hubs `default` and `other`.
"use strict";

const assert = require("node:assert/strict");
const { Hub, code, refused } = require("../hub");

const tells = (who) => ({ orchestrators: { tellsItsHub: () => who } });

exports.scenarios = {
  "an id in two hubs is two instances, and a worker runs those of its own hub": async (hub) => {
    const [here, there] = ["default", "other"].map((name) => new Hub(hub.address, hub.prefix, name));
    await here.work(tells("default"));
    await there.work(tells("other"));
    assert.equal(await here.run("tellsItsHub", 1, { instanceId: "twin" }), "default");
    assert.equal(await there.run("tellsItsHub", 1, { instanceId: "twin" }), "other");
    assert.equal(await hub.output("twin"), "default", "without a hub it is the default one");
  },
  "events and purges see their own hub alone": async (hub) => {
    const there = new Hub(hub.address, hub.prefix, "other");
    const takes = async function* (context) {
      context.setCustomStatus("waiting");
      return yield context.waitForExternalEvent("e");
    };
    await there.work({ orchestrators: { takes } });
    const id = await there.start("takes");
    await there.says(id, "waiting");
    assert.equal(await hub.state(id), undefined);
    await refused(code.NOT_FOUND, () => hub.client.raiseOrchestrationEvent(id, "e"));
    await there.client.raiseOrchestrationEvent(id, "e", 1);
    assert.equal(await there.output(id), 1);
    assert.equal((await hub.client.purgeOrchestration(id)).deletedInstanceCount, 0);
    assert.equal((await there.client.purgeOrchestration(id)).deletedInstanceCount, 1);
  },
  "a hub that was not made is NOT_FOUND": async (hub) => {
    const nowhere = new Hub(hub.address, hub.prefix, "nowhere");
    await refused(code.NOT_FOUND, () => nowhere.start("tellsItsHub"));
  },
};
