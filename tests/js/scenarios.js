// Runs the scenarios of one feature with the npm package `@microsoft/durabletask-js`, as worker and as client.
// Usage: scenarios.js HOST:PORT FEATURE [WORDS OF A SCENARIO'S NAME]
//
// A feature is a module in `features/`. It exports
//   orchestrators, activities, entities: what its worker runs, by name
//   scenarios: what must hold, by a sentence that says it; a function that is given a Hub
//   alone: true if the scenarios look at all instances of the hub, and so cannot run at the same time
"use strict";

const { Hub } = require("./hub");

async function hold(sentence, scenario, hub) {
  const begun = Date.now();
  try {
    await scenario(hub);
    console.log(`holds: ${sentence} (${Date.now() - begun} ms)`);
    return true;
  } catch (error) {
    // An assertion says what was expected and what came instead.
    console.log(`DOES NOT HOLD: ${sentence} (${Date.now() - begun} ms)\n${error?.stack ?? error}`);
    return false;
  }
}

async function main([address, name, ...words]) {
  const feature = require(`./features/${name}`);
  const hub = new Hub(address, name);
  if (feature.orchestrators || feature.activities) {
    await hub.work(feature);
  }
  const chosen = Object.entries(feature.scenarios).filter(([sentence]) => sentence.includes(words.join(" ")));
  const run = ([sentence, scenario], number) => hold(sentence, scenario, hub.scope(number));
  const held = [];
  if (feature.alone) {
    for (const [number, scenario] of chosen.entries()) {
      held.push(await run(scenario, number));
    }
  } else {
    held.push(...(await Promise.all(chosen.map(run))));
  }
  // The SDK's `stop` waits for a second; the process ends without it.
  process.exit(held.length > 0 && held.every(Boolean) ? 0 : 1);
}

main(process.argv.slice(2)).catch((error) => {
  console.log(error);
  process.exit(1);
});
