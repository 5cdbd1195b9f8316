import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import { engine } from "$lib/state/engine.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import Damaged from "./Damaged.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  render(Damaged, { damaged: engine.tree.damaged });
  await fireEvent.click(screen.getByRole("button", { name: /Boiler house/ }));
  await screen.findByText("Boiler house cannot be read");
});

test("says what is wrong, and saves the entry as it stands", async () => {
  expect(screen.getByText(/missing field `endpoint`/)).toBeTruthy();
  const pick = vi.spyOn(backend, "pickSavePath").mockResolvedValue("/tmp/boiler.json");
  const write = vi.spyOn(backend, "writeTextFile").mockResolvedValue();
  await fireEvent.click(screen.getByRole("button", { name: "Save its entry…" }));
  await waitFor(() => expect(write).toHaveBeenCalledWith("/tmp/boiler.json", '{"settings":{}}'));
  expect(pick.mock.calls[0]?.[0].defaultPath).toBe("Boiler house.json");
});

test("deletes it, and can undo that", async () => {
  await fireEvent.click(screen.getByRole("button", { name: "Delete" }));
  await waitFor(() => expect(engine.tree.damaged).toEqual([]));
  toasts.shown[0]?.action?.run();
  await waitFor(() => expect(engine.tree.damaged).toHaveLength(1));
});
