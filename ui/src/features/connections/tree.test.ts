import { describe, expect, it } from "vitest";
import type { LibraryTree } from "$lib/backend/types/LibraryTree";
import type { ProfileEntry } from "$lib/backend/types/ProfileEntry";
import { dropOn, initials, rowsOf, stepFolder, stepProfile } from "./tree";

const entry = (id: string, folder: string | null): ProfileEntry => ({
  id,
  name: `name ${id}`,
  folder,
  scheme: "wss",
  url: `wss://${id}.example:443/mqtt`,
  login: false,
  client_certificate: false,
});
const tree: LibraryTree = {
  damaged: [],
  folders: [
    { id: "A", name: "Plant", collapsed: false },
    { id: "B", name: "Bench", collapsed: true },
  ],
  profiles: [entry("loose", null), entry("a1", "A"), entry("a2", "A"), entry("b1", "B")],
};
const row = (key: string, collapsed = tree) => {
  const open = {
    ...collapsed,
    folders: collapsed.folders.map((folder) => ({ ...folder, collapsed: false })),
  };
  return rowsOf(open).find((candidate) => candidate.key === key)!;
};

describe("rows", () => {
  it("lists loose connections, then folders, and hides what is folded", () => {
    expect(rowsOf(tree).map(({ key }) => key)).toEqual(["p:loose", "f:A", "p:a1", "p:a2", "f:B"]);
  });
  it("unfolds what a filter matches, by name or URL", () => {
    expect(rowsOf(tree, "b1.EXAMPLE").map(({ key }) => key)).toEqual(["f:B", "p:b1"]);
    expect(rowsOf(tree, "nothing")).toEqual([]);
  });
  it("shows a connection whose folder is gone", () => {
    expect(rowsOf({ damaged: [], folders: [], profiles: [entry("x", "gone")] })).toHaveLength(1);
  });
});

describe("moving by keys", () => {
  it("steps inside a folder, then into the next one", () => {
    expect(stepProfile(tree, "a1", 1)).toEqual({ folder: "A", index: 1 });
    expect(stepProfile(tree, "a2", 1)).toEqual({ folder: "B", index: 0 });
    expect(stepProfile(tree, "a1", -1)).toEqual({ folder: null, index: 1 });
    expect(stepProfile(tree, "loose", -1)).toBeNull();
    expect(stepProfile(tree, "b1", 1)).toBeNull();
  });
  it("steps folders", () => {
    expect(stepFolder(tree, "A", 1)).toBe(1);
    expect(stepFolder(tree, "A", -1)).toBeNull();
  });
});

describe("moving by drag", () => {
  it("puts a connection before or after another one, counting without itself", () => {
    expect(dropOn(tree, row("p:a1"), row("p:a2"), 0.9)?.place).toEqual({ folder: "A", index: 1 });
    expect(dropOn(tree, row("p:loose"), row("p:a2"), 0.1)?.place).toEqual({ folder: "A", index: 1 });
    expect(dropOn(tree, row("p:a1"), row("p:a1"), 0.1)).toBeNull();
  });
  it("puts a connection into a folder, or out of all below", () => {
    expect(dropOn(tree, row("p:loose"), row("f:B"), 0.2)).toMatchObject({
      at: "inside",
      place: { folder: "B", index: 1 },
    });
    expect(dropOn(tree, row("p:a1"), null, 0)).toEqual({
      at: "before",
      key: "f:A",
      place: { folder: null, index: 1 },
      out: true,
    });
  });
  it("takes a connection out of its folder above the first one, and draws the line where it lands", () => {
    expect(dropOn(tree, row("p:a1"), row("f:A"), 0.1)).toMatchObject({
      at: "before",
      key: "f:A",
      place: { folder: null, index: 1 },
    });
    expect(dropOn(tree, row("p:b1"), row("f:A"), 0.5)).toMatchObject({ at: "inside", key: "f:A" });
    const loose = { damaged: [], folders: [], profiles: [entry("x", null), entry("y", null)] };
    expect(dropOn(loose, rowsOf(loose)[0]!, null, 0)).toMatchObject({
      at: "after",
      key: "p:y",
      place: { index: 1 },
    });
  });
  it("orders folders, and never puts one inside another", () => {
    expect(dropOn(tree, row("f:A"), row("f:B"), 0.8)?.place).toEqual({ folder: null, index: 1 });
    expect(dropOn(tree, row("f:B"), row("f:A"), 0.2)).toMatchObject({ at: "before", place: { index: 0 } });
    expect(dropOn(tree, row("f:B"), row("p:a1"), 0.1)).toMatchObject({
      at: "after",
      key: "p:a2",
      place: { index: 1 },
    });
    expect(dropOn(tree, row("f:B"), row("p:loose"), 0.1)).toMatchObject({
      at: "before",
      key: "f:A",
      place: { index: 0 },
    });
    expect(dropOn(tree, row("f:A"), row("p:a2"), 0.1)).toBeNull();
    expect(dropOn(tree, row("f:A"), null, 0)).toMatchObject({ at: "after", key: "f:B", place: { index: 1 } });
  });
});

it("abbreviates names", () => {
  expect(["Line 3 gateway", "Fleet mTLS", "edge", "本地代理", ""].map(initials)).toEqual([
    "L3",
    "FM",
    "ED",
    "本地",
    "?",
  ]);
});
