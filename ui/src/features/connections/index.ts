export { default as Rail } from "./Rail.svelte";
export { default as Sidebar } from "./Sidebar.svelte";
