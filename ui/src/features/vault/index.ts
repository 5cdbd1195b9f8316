export { default as VaultPrompt } from "./VaultPrompt.svelte";
export { default as VaultSettings } from "./VaultSettings.svelte";
