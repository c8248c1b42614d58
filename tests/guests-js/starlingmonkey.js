// The component for the engine StarlingMonkey, whose clocks and random numbers are WASI's.
import { exports } from "./binding.js";
import { orchestrators } from "./world.js";

export const { component, orchestrator, queries } = exports("starlingmonkey-world", "1.0.0", { orchestrators });
