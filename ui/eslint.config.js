import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";
import svelteConfig from "./svelte.config.js";

/** Only the backend folder touches the shell; features import shared parts, not each other's insides. */
const onlyBackend = {
  group: ["@tauri-apps/*"],
  message: "Only src/lib/backend talks to the shell.",
};

export default ts.config(
  { ignores: ["dist", "src/paraglide", "src/lib/backend/types"] },
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "svelte/no-at-html-tags": "error",
      // The state classes replace whole maps ($state.raw), which is what makes them cheap.
      "svelte/prefer-svelte-reactivity": "off",
      "no-eval": "error",
      "no-restricted-imports": ["error", { patterns: [onlyBackend] }],
    },
  },
  { files: ["src/lib/backend/**"], rules: { "no-restricted-imports": "off" } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: {
      parserOptions: {
        projectService: false,
        extraFileExtensions: [".svelte"],
        parser: ts.parser,
        svelteConfig,
      },
    },
  },
);
