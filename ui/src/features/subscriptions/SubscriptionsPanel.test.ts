import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import { engine } from "$lib/state/engine.svelte";
import { streamFilter } from "$lib/state/streamfilter.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import SubscriptionsPanel from "./SubscriptionsPanel.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const idOf = (name: string) => engine.tree.profiles.find((entry) => entry.name === name)?.id ?? "";

beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
});

test("never subscribes by itself; an empty panel offers everything with a caution", async () => {
  const save = vi.spyOn(backend, "saveSubscription");
  render(SubscriptionsPanel, { id: idOf("Press cell edge") });
  screen.getByText("No subscriptions");
  screen.getByText("On a busy broker this is a lot. Some brokers refuse it.");
  expect(save).not.toHaveBeenCalled();
  await fireEvent.click(screen.getByRole("button", { name: /^Subscribe to everything/ }));
  expect(save.mock.calls[0]?.[1]).toMatchObject({ filter: "#", enabled: true });
});

test("adds a filter that is valid, and no other", async () => {
  const save = vi.spyOn(backend, "saveSubscription");
  render(SubscriptionsPanel, { id: idOf("Local broker") });
  const field = screen.getByRole("textbox", { name: "Topic filter to subscribe to" });
  await fireEvent.input(field, { target: { value: "a/#/b" } });
  await fireEvent.click(screen.getByRole("button", { name: /^Subscribe \(/ }));
  await screen.findByText("# must be alone in the last level.");
  expect(save).not.toHaveBeenCalled();
  await fireEvent.input(field, { target: { value: "a/#" } });
  await fireEvent.click(screen.getByRole("button", { name: /^Subscribe \(/ }));
  await waitFor(() => expect(save).toHaveBeenCalledOnce());
  expect(save.mock.calls[0]?.[1].filter).toBe("a/#");
});

test("a click filters the stream, a second one stops that", async () => {
  const id = idOf("Line 3 gateway");
  render(SubscriptionsPanel, { id });
  const row = screen.getByRole("button", { name: "Show factory/line-3/# in the stream" });
  await fireEvent.click(row);
  await fireEvent.click(screen.getByRole("button", { name: "Show factory/+/+/alarm in the stream" }));
  expect(streamFilter(id).topics).toEqual(["factory/line-3/#", "factory/+/+/alarm"]);
  expect(row.getAttribute("aria-pressed")).toBe("true");
  await fireEvent.click(row);
  expect(streamFilter(id).topics).toEqual(["factory/+/+/alarm"]);
});

test("the list is one tab stop: arrows move in it, and a deleted row leaves the focus with its neighbour", async () => {
  render(SubscriptionsPanel, { id: idOf("Line 3 gateway") });
  const list = screen.getByRole("list", { name: "Subscriptions" });
  const stops = () => Array.from(list.querySelectorAll<HTMLElement>('[tabindex="0"]'));
  const name = () => document.activeElement?.getAttribute("aria-label");
  await waitFor(() => expect(stops()).toHaveLength(1));
  stops()[0]?.focus();
  const press = (key: string) => fireEvent.keyDown(document.activeElement!, { key });
  await press("ArrowDown");
  expect(name()).toBe("Show factory/+/+/telemetry in the stream");
  await press("ArrowRight");
  await press("ArrowRight");
  expect(name()).toBe("Edit");
  await press("ArrowDown");
  expect(name()).toBe("Edit");
  await press("End");
  await press("ArrowLeft");
  await press("ArrowLeft");
  expect(name()).toBe("Show $SYS/broker/# in the stream");
  expect(stops()).toEqual([document.activeElement]);

  const remove = vi.spyOn(backend, "deleteSubscription");
  await press("Delete");
  await waitFor(() => expect(remove).toHaveBeenCalledWith(idOf("Line 3 gateway"), "$SYS/broker/#"));
  await waitFor(() => expect(name()).toBe("Show $share/qa/factory/line-4/# in the stream"));
  toasts.shown[0]?.action?.run();
  await screen.findByRole("button", { name: "Show $SYS/broker/# in the stream" });
});

test("a deleted subscription comes back with undo", async () => {
  const id = idOf("Line 3 gateway");
  const remove = vi.spyOn(backend, "deleteSubscription");
  const save = vi.spyOn(backend, "saveSubscription");
  render(SubscriptionsPanel, { id });
  const [first] = screen.getAllByRole("button", { name: "Unsubscribe" });
  if (first) await fireEvent.click(first);
  await waitFor(() => expect(toasts.shown.length).toBe(1));
  expect(remove).toHaveBeenCalledWith(id, "factory/line-3/#");
  toasts.shown[0]?.action?.run();
  await waitFor(() => expect(save).toHaveBeenCalled());
  expect(save.mock.calls[0]?.[1]).toMatchObject({ filter: "factory/line-3/#", label: "Line 3, all" });
});
