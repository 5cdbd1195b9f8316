/** "What does this port speak?", for the editor and the trace. */
export { default as ProbeDialog } from "./ProbeDialog.svelte";
