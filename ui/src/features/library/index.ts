/** The certificate library and the development CA: a screen of its own. */
export { default as CertificateLibrary } from "./CertificateLibrary.svelte";
