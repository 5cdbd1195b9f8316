import { fileURLToPath } from "node:url";
import { paraglideVitePlugin } from "@inlang/paraglide-js";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { svelteTesting } from "@testing-library/svelte/vite";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  plugins: [
    paraglideVitePlugin({
      project: "./project.inlang",
      outdir: "./src/paraglide",
      strategy: ["localStorage", "preferredLanguage", "baseLocale"],
    }),
    svelte(),
    ...(mode === "test" ? [svelteTesting()] : []),
  ],
  resolve: {
    alias: [
      // `vite --mode fixture` shows the window in a plain browser, for designing; never part of a build.
      ...(mode === "fixture"
        ? [{ find: /^(.*\/backend|\.)\/tauri$/, replacement: here("./tests/fixture-backend.ts") }]
        : []),
      { find: "$lib", replacement: here("./src/lib") },
      { find: "$components", replacement: here("./src/components") },
      { find: "$features", replacement: here("./src/features") },
      { find: "$messages", replacement: here("./src/paraglide/messages.js") },
      { find: "$runtime", replacement: here("./src/paraglide/runtime.js") },
    ],
  },
  clearScreen: false,
  server: {
    port: 1420,
    strictPort: mode !== "fixture",
    host: "127.0.0.1",
    // The plugin of the messages has each of its files watched, and a server that watches does not end with the tests.
    ...(mode === "test" ? { watch: null } : {}),
  },
  build: { target: "safari15", outDir: "dist", emptyOutDir: true, chunkSizeWarningLimit: 1500 },
  test: { environment: "happy-dom", include: ["src/**/*.test.ts", "tests/**/*.test.ts"] },
}));
