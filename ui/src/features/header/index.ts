export { default as Header } from "./Header.svelte";
export { default as Metrics } from "./Metrics.svelte";
