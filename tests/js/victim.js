// A worker that hangs in the middle of its work, to be killed. Usage: victim.js HOST:PORT ORCHESTRATOR ACTIVITY
//
// It runs an orchestrator and an activity of the given names, says on standard output what it is in the middle of, and never
// finishes: the orchestrator hangs in its second turn, the activity at once. It ends when its standard input does.
"use strict";

const { Hub } = require("./hub");

const hang = (where) => {
  console.log(`in the middle of ${where}`);
  return new Promise(() => {});
};

async function main([address, orchestratorName, activityName]) {
  const orchestrator = async function* (context) {
    yield context.callActivity("quick");
    if (!context.isReplaying) {
      await hang("a turn");
    }
  };
  await new Hub(address, "victim").work({
    orchestrators: { [orchestratorName]: orchestrator },
    activities: { quick: () => "quick", [activityName]: () => hang("an activity") },
  });
  console.log("worker ready");
  process.stdin.on("end", () => process.exit(0)).resume();
}

main(process.argv.slice(2));
