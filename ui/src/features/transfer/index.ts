export { default as TransferDialogs } from "./TransferDialogs.svelte";
