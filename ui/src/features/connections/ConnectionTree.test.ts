import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import { engine } from "$lib/state/engine.svelte";
import ConnectionTree from "./ConnectionTree.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

beforeEach(async () => {
  vi.restoreAllMocks();
  await engine.start();
  render(ConnectionTree);
});

const names = () => screen.getAllByRole("treeitem").map((row) => row.textContent?.trim() ?? "");

test("a row that is moved keeps the focus in every moment, so that no key goes nowhere", async () => {
  const rows = screen.getAllByRole("treeitem");
  const at = rows.findIndex((row, index) => row.matches(".conn") && rows[index + 1]?.matches(".conn"));
  const row = rows[at]!;
  row.focus();
  const before = names();
  // The row stands elsewhere when the event was followed, before the answer of the step itself.
  let elsewhere: Element | null = null;
  const tree = backend.libraryTree.bind(backend);
  let asked = 0;
  vi.spyOn(backend, "libraryTree").mockImplementation(async () => {
    const answer = await tree();
    if (++asked === 2) {
      await waitFor(() => expect(names()).not.toEqual(before));
      elsewhere = document.activeElement;
    }
    return answer;
  });
  await fireEvent.keyDown(row, { key: "ArrowDown", altKey: true });
  await waitFor(() => expect(elsewhere).not.toBeNull());
  expect(elsewhere).toBe(row);
});
