import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { EngineEvent } from "$lib/backend/types/EngineEvent";
import type { LibraryTree } from "$lib/backend/types/LibraryTree";
import { engine } from "./engine.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

beforeEach(() => {
  vi.restoreAllMocks();
});

const treeOf = (name: string): LibraryTree => ({
  damaged: [],
  folders: [{ id: name, name, collapsed: false }],
  profiles: [],
});

test("an answer that a later one has overtaken does not bring the connections of before back", async () => {
  const answers: ((tree: LibraryTree) => void)[] = [];
  vi.spyOn(backend, "libraryTree").mockImplementation(() => new Promise((answer) => answers.push(answer)));
  const [before, after] = [engine.refreshTree(), engine.refreshTree()];
  answers[1]?.(treeOf("after"));
  await after;
  answers[0]?.(treeOf("before"));
  await before;
  expect(engine.tree.folders[0]?.name).toBe("after");
});

test("what is told while the first answers are awaited is newer than they are", async () => {
  let tell: (event: EngineEvent) => void = () => {};
  vi.spyOn(backend, "onEvent").mockImplementation((listener) => {
    tell = listener;
    return () => {};
  });
  const [first] = await backend.connections();
  const starting = engine.start();
  tell({ event: "connection", ...first!, phase: { phase: "idle" } });
  await starting;
  expect(engine.connections.get(first!.id)?.phase.phase).toBe("idle");
  expect(engine.connections.size).toBeGreaterThan(1);
});
