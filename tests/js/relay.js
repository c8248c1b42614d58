// A worker that hands on to the next: `javascript_relay` runs the child that it is given, after an activity of the other language.
// Usage: relay.js HOST:PORT
"use strict";

const { Hub } = require("./hub");

const relay = async function* (context, following) {
  context.setCustomStatus("relaying");
  const said = yield context.callActivity("python_says", "javascript");
  if (!following) {
    return [said, yield context.waitForExternalEvent("end")];
  }
  const rest = yield context.callSubOrchestrator(following.name, following.input, { instanceId: following.id });
  return [said, ...rest];
};

new Hub(process.argv[2], "relay")
  .work({
    orchestrators: { javascript_relay: relay },
    activities: { javascript_says: (_, caller) => `${caller} asks, javascript answers` },
  })
  .then(() => console.log("worker ready"));
