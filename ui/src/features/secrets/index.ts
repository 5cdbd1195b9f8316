export { default as SecretPrompt } from "./SecretPrompt.svelte";
