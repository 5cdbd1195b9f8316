import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { confirmations } from "$components/confirm.svelte";
import { menus } from "$components/menu.svelte";
import { composerOf } from "$lib/state/drafts.svelte";
import { engine } from "$lib/state/engine.svelte";
import { streamFilter } from "$lib/state/streamfilter.svelte";
import MessagesView from "./MessagesView.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

let id: ProfileId = "";
beforeEach(async () => {
  vi.restoreAllMocks();
  // Nothing is laid out here: what would be on screen is as high as 20 rows.
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(480);
  await engine.start();
  id = engine.tree.profiles.find((entry) => entry.name === "Line 3 gateway")?.id ?? "";
  streamFilter(id).clear();
});

async function open() {
  render(MessagesView, { id });
  const grid = screen.getByRole("grid", { name: "Messages" });
  await waitFor(() => expect(Number(grid.getAttribute("aria-rowcount"))).toBeGreaterThan(0));
  return grid;
}

const selected = () => document.querySelector('[role="row"][aria-selected="true"]');

test("keys move the selection, pause, and return to the newest row", async () => {
  const grid = await open();
  const last = Number(grid.getAttribute("aria-rowcount"));
  await fireEvent.keyDown(grid, { key: "ArrowUp" });
  await waitFor(() => expect(selected()?.getAttribute("aria-rowindex")).toBe(String(last)));
  screen.getByRole("button", { name: "Resume" });
  await fireEvent.keyDown(grid, { key: "k" });
  await waitFor(() => expect(selected()?.getAttribute("aria-rowindex")).toBe(String(last - 1)));
  await fireEvent.keyDown(grid, { key: "End" });
  await screen.findByRole("button", { name: "Live" });
  await fireEvent.keyDown(grid, { key: " " });
  await screen.findByRole("button", { name: "Resume" });
});

test("a selected message is inspected, copied, filtered by and put into the composer", async () => {
  const grid = await open();
  const copy = vi.spyOn(backend, "copyText").mockResolvedValue();
  await fireEvent.keyDown(grid, { key: "ArrowUp" });
  await waitFor(() => expect(selected()).not.toBeNull());
  const topic = selected()?.querySelector(".topic")?.textContent ?? "";
  // The window is narrow here: the inspector opens over the stream.
  await fireEvent.keyDown(grid, { key: "Enter" });
  await waitFor(() => expect(document.querySelector(".inspector .path")?.textContent).toBe(topic));
  await fireEvent.keyDown(grid, { key: "c", ctrlKey: true });
  await waitFor(() => expect(copy).toHaveBeenCalled());
  await fireEvent.keyDown(grid, { key: "r" });
  await waitFor(() => expect(composerOf(id).draft.topic).toBe(topic));
  expect(composerOf(id).draft.payload).toBe(copy.mock.calls[0]?.[0]);
  await fireEvent.keyDown(grid, { key: "f" });
  expect(streamFilter(id).topics).toEqual([topic]);
});

test("a selected message is pinned, marked and compared, and deleting all of them says so", async () => {
  const grid = await open();
  const pin = vi.spyOn(backend, "pinMessage");
  await fireEvent.keyDown(grid, { key: "ArrowUp" });
  await waitFor(() => expect(selected()).not.toBeNull());
  await fireEvent.keyDown(grid, { key: "p" });
  await waitFor(() => expect(selected()?.querySelector(".pinned")).not.toBeNull());
  expect(pin).toHaveBeenCalledWith(id, expect.any(Number), true);
  await fireEvent.keyDown(grid, { key: "m" });
  const marked = pin.mock.calls[0]?.[1];
  await fireEvent.keyDown(grid, { key: "k" });
  await waitFor(() => expect(selected()?.querySelector(".pinned")).toBeNull());
  const compare = vi.spyOn(backend, "comparePayloads");
  await fireEvent.keyDown(grid, { key: "d" });
  await screen.findByRole("dialog", { name: "Compare messages" });
  await waitFor(() => expect(compare).toHaveBeenCalledWith(id, expect.any(Number), marked));
  await fireEvent.click(screen.getByRole("button", { name: "Close" }));
  await fireEvent.click(screen.getByRole("button", { name: "More" }));
  const entry = menus.open?.entries.find((one) => one !== "separator" && one.danger === true);
  if (!entry || entry === "separator") throw new Error("no entry");
  entry.run();
  await waitFor(() => expect(confirmations.asked?.text).toContain("1 pinned message goes with them."));
  confirmations.answer(false);
});

test("no match repeats the filter and clears it", async () => {
  const grid = await open();
  const field = screen.getByRole("textbox", { name: "Filter messages" });
  await fireEvent.input(field, { target: { value: "no such thing" } });
  await screen.findByText("Nothing matches no such thing");
  await fireEvent.click(screen.getByRole("button", { name: "Clear filter" }));
  await waitFor(() => expect(grid.getAttribute("aria-rowcount")).not.toBe("0"));
});

test("deleting stored messages asks first, with the number", async () => {
  await open();
  const clear = vi.spyOn(backend, "clearHistory");
  await fireEvent.click(screen.getByRole("button", { name: "More" }));
  const entry = menus.open?.entries.find((one) => one !== "separator" && one.danger === true);
  if (!entry || entry === "separator") throw new Error("no entry");
  entry.run();
  await waitFor(() => expect(confirmations.asked?.title).toMatch(/^Delete [\d,]+ stored messages\?$/));
  confirmations.answer(false);
  expect(clear).not.toHaveBeenCalled();
});
