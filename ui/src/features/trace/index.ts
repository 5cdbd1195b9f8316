/** What others may use of the trace. */
export { default as TraceDetails } from "./TraceDetails.svelte";
export { type Cell, cells } from "./stages";
