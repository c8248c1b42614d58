// A worker whose scheduler goes away and comes back. Usage: survivor.js HOST:PORT
//
// `survives` runs so many activities one after the other, then waits for an event. Each activity says on standard output that
// it runs.
"use strict";

const { Hub } = require("./hub");

const survives = async function* (context, count) {
  let total = 0;
  for (let number = 0; number < count; number += 1) {
    total += yield context.callActivity("step", number);
  }
  context.setCustomStatus("waiting");
  return [total, yield context.waitForExternalEvent("end")];
};

const step = (context, number) => {
  console.log(`step ${number} of ${context.orchestrationId}`);
  return 1;
};

new Hub(process.argv[2], "survivor")
  .work({ orchestrators: { survives }, activities: { step } })
  .then(() => console.log("worker ready"));
