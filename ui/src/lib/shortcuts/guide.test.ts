// @vitest-environment node
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { keyText } from "./keys";
import { SHORTCUTS, type Scope } from "./table";

const TITLES: Record<Scope, string> = {
  anywhere: "Anywhere",
  sidebar: "Connections",
  connection: "Connection",
  stream: "Messages",
  publish: "Publish",
};

/** The tables as they stand in the guide. */
function tables(): string {
  return (Object.keys(TITLES) as Scope[])
    .map((scope) => {
      const rows = SHORTCUTS.filter((shortcut) => shortcut.scope === scope).map(
        ({ keys, label }) => `| ${keyText(keys, false)} | ${label()} |`,
      );
      return [`## ${TITLES[scope]}`, "", "| keys | |", "| --- | --- |", ...rows].join("\n");
    })
    .join("\n\n");
}

it("the guide lists every shortcut as it is", () => {
  const page = readFileSync(new URL("../../../../docs/guide/shortcuts.md", import.meta.url), "utf8");
  expect(page).toContain(tables());
});
