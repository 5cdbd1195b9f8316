/**
 * Every main screen by axe: names, roles, order of headings, keyboard reach. What needs a layout (contrast, what
 * scrolls) cannot be seen here.
 */
import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import axe from "axe-core";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import { runShortcut } from "$lib/shortcuts";
import { engine } from "$lib/state/engine.svelte";
import { navigation } from "$lib/state/navigation.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import { transfers } from "$lib/state/transfers.svelte";
import App from "./App.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const id = (name: string) => engine.tree.profiles.find((entry) => entry.name === name)?.id ?? "";

interface Viewport {
  happyDOM: { setViewport(size: { width: number; height: number }): void };
}

vi.setConfig({ testTimeout: 60_000 });

beforeEach(() => {
  vi.restoreAllMocks();
  (window as unknown as Viewport).happyDOM.setViewport({ width: 1440, height: 900 });
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(480);
  navigation.screen = { kind: "connection" };
  navigation.selected = null;
  toasts.shown = [];
});

async function open() {
  render(App);
  await waitFor(() => expect(document.querySelector("[data-ready=true]")).toBeTruthy());
}

async function violations(): Promise<string[]> {
  const off = { enabled: false };
  const { violations: found } = await axe.run(document.body, {
    resultTypes: ["violations"],
    rules: {
      "color-contrast": off,
      "scrollable-region-focusable": off,
      // Menus, dialogs and remarks float above the landmarks.
      region: off,
    },
  });
  return found.flatMap(({ id: rule, nodes }) => nodes.map(({ html }) => `${rule}: ${html.slice(0, 160)}`));
}

test("messages, with a selected one inspected", async () => {
  await open();
  navigation.select(id("Line 3 gateway"));
  const grid = await screen.findByRole("grid", { name: "Messages" });
  await waitFor(() => expect(Number(grid.getAttribute("aria-rowcount"))).toBeGreaterThan(0));
  expect(await violations()).toEqual([]);
  await fireEvent.keyDown(grid, { key: "ArrowUp" });
  await screen.findByRole("button", { name: /^Republish/ });
  expect(await violations()).toEqual([]);
});

test("no messages, and what to do about that", async () => {
  await open();
  navigation.select(id("Packaging hall"));
  await screen.findByText("Not connected");
  expect(await violations()).toEqual([]);
});

test.each(["Fleet mTLS", "Local broker"])("the trace of %s", async (name) => {
  await open();
  navigation.select(id(name));
  navigation.openTab(id(name), "trace");
  await screen.findByRole("log");
  expect(await violations()).toEqual([]);
});

test("the editor, on a saved connection and on a new one", async () => {
  await open();
  navigation.edit(id("Line 3 gateway"));
  await screen.findByRole("radiogroup", { name: "Transport" });
  expect(await violations()).toEqual([]);
  navigation.create();
  await screen.findByText("New connection", { selector: "h1" });
  expect(await violations()).toEqual([]);
});

test("settings", async () => {
  await open();
  navigation.settings();
  await screen.findByRole("radiogroup", { name: "Theme" });
  expect(await violations()).toEqual([]);
});

test("the palette, a question for a secret, a damaged connection, remarks", async () => {
  await open();
  runShortcut("palette");
  const palette = await screen.findByPlaceholderText("Connection, subscription or command");
  expect(await violations()).toEqual([]);
  await fireEvent.keyDown(palette, { key: "Escape" });

  navigation.select(id("Packaging hall"));
  runShortcut("toggle");
  const password = await screen.findByLabelText("Password");
  expect(await violations()).toEqual([]);
  await fireEvent.keyDown(password, { key: "Escape" });
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());

  toasts.show({ tone: "info", text: () => "one", action: { label: () => "Undo", run: () => {} } });
  toasts.show({ tone: "err", text: () => "two" });
  await fireEvent.click(screen.getByRole("button", { name: /Boiler house/ }));
  await screen.findByText("Boiler house cannot be read");
  expect(await violations()).toEqual([]);
});

test("an import, its rows, and an export", async () => {
  await open();
  transfers.import();
  await screen.findByRole("button", { name: "Choose file…" });
  expect(await violations()).toEqual([]);
  transfers.import({ from: "file", path: "/home/me/mqttx.json" });
  await screen.findByText("Plant north");
  expect(await violations()).toEqual([]);
  transfers.close();
  transfers.export(id("Line 3 gateway"));
  await screen.findByRole("radio", { name: "Only Line 3 gateway" });
  expect(await violations()).toEqual([]);
  transfers.close();
});

test("the first run", async () => {
  vi.spyOn(backend, "libraryTree").mockResolvedValue({ folders: [], profiles: [], damaged: [] });
  await open();
  await screen.findByText("Connect to a broker");
  expect(await violations()).toEqual([]);
});

test("the sidebar at its narrowest", async () => {
  await open();
  runShortcut("sidebar");
  await screen.findByRole("button", { name: /^Show sidebar/ });
  expect(await violations()).toEqual([]);
  runShortcut("sidebar");
});
