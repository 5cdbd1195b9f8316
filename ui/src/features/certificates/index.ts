/** Certificates as the editor and the trace show them. */
export { default as CertificateCard } from "./CertificateCard.svelte";
export { default as CheckLine } from "./CheckLine.svelte";
export { default as FileField } from "./FileField.svelte";
export {
  authorityChecks,
  type Check,
  clientChecks,
  dateChecks,
  fileName,
  pemOf,
  sentChecks,
  serverChecks,
  shortName,
  type Tone,
  validityOf,
} from "./checks";
