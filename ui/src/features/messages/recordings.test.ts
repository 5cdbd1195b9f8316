import { fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { menus } from "$components/menu.svelte";
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { TransferStatus } from "$lib/backend/types/TransferStatus";
import { engine } from "$lib/state/engine.svelte";
import { streamFilter } from "$lib/state/streamfilter.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import { ending } from "$lib/recordings";
import MessagesView from "./MessagesView.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

let id: ProfileId = "";
beforeEach(async () => {
  vi.restoreAllMocks();
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(480);
  await engine.start();
  id = engine.tree.profiles.find((entry) => entry.name === "Line 3 gateway")?.id ?? "";
  streamFilter(id).clear();
  render(MessagesView, { id });
  const grid = screen.getByRole("grid", { name: "Messages" });
  await waitFor(() => expect(Number(grid.getAttribute("aria-rowcount"))).toBeGreaterThan(0));
});

async function choose(label: string): Promise<void> {
  await fireEvent.click(screen.getByRole("button", { name: "More" }));
  const entry = menus.open?.entries.find((one) => one !== "separator" && one.label === label);
  if (!entry || entry === "separator") throw new Error(`no entry ${label}`);
  entry.run();
}

test("an export takes what the filter lets through, or all, in the chosen form", async () => {
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/tmp/plant.csv");
  const begun = vi.spyOn(backend, "exportMessages");
  streamFilter(id).topics = ["plant/#"];
  for (const which of ["Those that match the filter", "All"]) {
    await choose("Export…");
    const dialog = await screen.findByRole("dialog", { name: "Export messages" });
    await fireEvent.click(within(dialog).getByRole("radio", { name: which }));
    await fireEvent.click(within(dialog).getByRole("radio", { name: "CSV" }));
    await fireEvent.click(within(dialog).getByRole("button", { name: "Choose a file…" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  }
  const filters = begun.mock.calls.map(([, filter]) => filter.topics);
  expect(filters).toEqual([["plant/#"], []]);
  expect(begun.mock.calls[0]?.slice(2)).toEqual(["csv", "/tmp/plant.csv"]);
  const [line] = await screen.findAllByRole("group", { name: "Exporting to plant.csv" });
  if (!line) throw new Error("no line");
  await fireEvent.click(within(line).getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(toasts.shown.at(-1)?.text()).toMatch(/cancelled; no file/));
});

test("a recording is shown until it is stopped, below the list or in the menu", async () => {
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/tmp/r.ndjson");
  await choose("Record to a file…");
  await screen.findByRole("group", { name: "Recording to r.ndjson" });
  streamFilter(id).text = "other";
  await choose("Stop recording");
  await waitFor(() => expect(screen.queryByRole("group", { name: /Recording/ })).toBeNull());
  const [said] = toasts.shown.slice(-1);
  expect([said?.tone, said?.text()]).toEqual(["ok", "0 messages recorded to /tmp/r.ndjson."]);
});

test("a replay is asked how, held, and stopped", async () => {
  vi.spyOn(backend, "pickFile").mockResolvedValue("/tmp/monday.ndjson");
  const begun = vi.spyOn(backend, "replayFile");
  await choose("Replay a file…");
  const dialog = await screen.findByRole("dialog", { name: "Replay monday.ndjson" });
  await fireEvent.input(within(dialog).getByRole("textbox", { name: "Topic prefix" }), {
    target: { value: "copy/" },
  });
  await fireEvent.click(within(dialog).getByRole("button", { name: "Start" }));
  const line = await screen.findByRole("group", { name: "Replaying monday.ndjson" });
  expect(begun).toHaveBeenCalledWith(id, "/tmp/monday.ndjson", {
    speed: 1,
    topic_prefix: "copy/",
    qos: null,
    retain: null,
    direction: null,
    times: 1,
  });
  await fireEvent.click(within(line).getByRole("button", { name: "Pause" }));
  const held = await screen.findByRole("group", { name: "Paused: monday.ndjson" });
  within(held).getByRole("button", { name: "Resume" });
  await fireEvent.click(within(held).getByRole("button", { name: "Stop" }));
  await waitFor(() => expect(screen.queryByRole("group", { name: /monday/ })).toBeNull());
});

test("what went wrong is said with numbers and the first line", () => {
  const status: TransferStatus = {
    id: 1,
    connection: id,
    kind: "replay",
    path: "/tmp/a.ndjson",
    state: { state: "done" },
    share: 1,
    counts: {
      messages: 7,
      events: 0,
      damaged: 0,
      unreadable: 1,
      earlier: 0,
      refused: 2,
      lost: 0,
      problems: [{ line: 3, message: "no/1: Not authorized" }],
    },
  };
  const { tone, text } = ending(status);
  expect(tone).toBe("warn");
  expect(text()).toBe(
    "7 messages of a.ndjson published. Refused: 2. Lines that are no messages: 1. Line 3: no/1: Not authorized",
  );
  const error = { code: "file" as const, message: "There is no room left", details: {} };
  const failed = ending({ ...status, kind: "record", state: { state: "failed", error } });
  expect(failed.tone).toBe("err");
  expect(failed.text()).toMatch(/^7 messages recorded to \/tmp\/a.ndjson. There is no room left/);
});
