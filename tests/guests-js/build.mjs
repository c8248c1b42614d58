// Makes components of the modules here, one for each engine: `node build.mjs WIT FOLDER`. Run by `cargo xtask` in a folder that has
// the packages.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { componentize } from "@bytecodealliance/componentize-js";
import { rolldown } from "rolldown";

const [wit, folder] = process.argv.slice(2);
// Orchestrators alone: a component with activities too is compiled for two sandboxes.
const world = "orchestrators";

/** One module with all that it imports, since an engine reads no other files. */
async function bundle(entry) {
  const file = `bundle-${entry}`;
  const bundled = await rolldown({ input: entry });
  await bundled.write({ file, format: "esm" });
  await bundled.close();
  return file;
}

const { component } = await componentize({
  sourcePath: await bundle("starlingmonkey.js"),
  witPath: wit,
  worldName: world,
});
await writeFile(join(folder, "test_starlingmonkey.wasm"), component);

const jco = "node_modules/@bytecodealliance/jco/dist/jco.js";
const backend = ["--backend", "qjs", "--backend-qjs-disable-async", "--backend-qjs-stub-wasi"];
const output = ["--wit", wit, "--world-name", world, "--out", join(folder, "test_quickjs.wasm")];
await promisify(execFile)(process.execPath, [jco, "componentize", await bundle("quickjs.js"), ...backend, ...output]);
