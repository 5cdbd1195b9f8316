/** Connections in and out, against the fixture's engine. */
import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend, type FileDrag } from "$lib/backend";
import type { RemarkCode } from "$lib/backend/types/RemarkCode";
import { isCommandLine, transfers } from "$lib/state/transfers.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import EndpointBar from "$lib/mqtt/EndpointBar.svelte";
import TransferDialogs from "./TransferDialogs.svelte";
import { remarkText } from "./words";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const button = (name: string | RegExp) => screen.findByRole("button", { name });

beforeEach(() => {
  vi.restoreAllMocks();
  transfers.close();
  toasts.shown = [];
});

test("a file is shown row by row, and only what is chosen comes in", async () => {
  vi.spyOn(backend, "pickFile").mockResolvedValue("/home/me/mqttx.json");
  const apply = vi.spyOn(backend, "applyImport");
  render(TransferDialogs);
  transfers.import();
  await fireEvent.click(await button("Choose file…"));
  await screen.findByText("Broken");
  await screen.findByText("ca (/certs/ca.pem): the file is not there, choose it again afterwards");
  await screen.findByText("The history of messages is not imported: 1200 left behind");
  await fireEvent.click(screen.getByRole("checkbox", { name: "Test bench" }));
  await fireEvent.click(await button("Import connection"));
  await screen.findByText("/home/me/mqttx.json still holds 1 secret in the open. Delete it, or change them.");
  expect(apply).toHaveBeenCalledWith(1, [0]);
  await fireEvent.click(await button("Close"));
  await waitFor(() => expect(transfers.busy).toBe(false));
});

test("a sealed export asks for its passphrase, and says when it is wrong", async () => {
  render(TransferDialogs);
  transfers.import({ from: "file", path: "/home/me/sealed.json" });
  const field = await screen.findByLabelText("Passphrase of the export");
  await fireEvent.input(field, { target: { value: "wrong horse" } });
  await fireEvent.click(await button("Open"));
  await screen.findByText("Not the passphrase of this export");
  await fireEvent.input(field, { target: { value: "correct horse" } });
  await fireEvent.click(await button("Open"));
  await screen.findByText("Plant north");
});

test("a file that is dropped while the dialog is open is looked at", async () => {
  let drag: (drag: FileDrag) => void = () => {};
  vi.spyOn(backend, "onFileDrag").mockImplementation((listener) => {
    drag = listener;
    return () => {};
  });
  const look = vi.spyOn(backend, "previewImport");
  render(TransferDialogs);
  transfers.import();
  const choose = await button("Choose file…");
  document.elementFromPoint = () => choose;
  drag({ kind: "drop", x: 1, y: 1, paths: ["/home/me/mqttx.json"] });
  await screen.findByText("Plant north");
  expect(look).toHaveBeenCalledWith({ from: "file", path: "/home/me/mqttx.json" }, null);
});

test("what cannot be read is said, and another can be given", async () => {
  render(TransferDialogs);
  transfers.import({ from: "text", text: "nonsense" });
  await screen.findByText(/Not an export that can be read/);
  await button("Choose file…");
});

test("a command line pasted into the endpoint bar becomes an import, and stays nowhere", async () => {
  const endpoint = { websocket: false, tls: false, host: "", port: "", path: "" };
  render(EndpointBar, { endpoint, onswitch: () => {}, onurl: () => {} });
  const field = screen.getByRole<HTMLInputElement>("textbox");
  const text = "mosquitto_sub \\\n  -h broker.example -P canary -t a";
  await fireEvent.paste(field, { clipboardData: { getData: () => text } });
  expect(transfers.importing?.input).toEqual({ from: "text", text });
  expect(field.value).toBe("");
});

test.each([
  ["mosquitto_sub -t a", true],
  ["$ /usr/bin/mosquitto_pub -t a -m b", true],
  ["C:\\mosquitto\\mosquitto_sub.exe -t a", true],
  ["mqttx sub -t a", true],
  ["mqtt://mosquitto_sub.example", false],
  ["wss://mqttx.example/mqtt", false],
])("%s", (text, is) => expect(isCommandLine(text)).toBe(is));

test("every remark has words", () => {
  const codes: RemarkCode[] = ["no_counterpart", "changed", "cannot_connect", "more", "rest_of_line"];
  for (const code of codes) {
    expect(remarkText({ code, field: "f", value: "v", used: "u" })).toMatch(/[fvu]/);
  }
});

test("an export goes where the person says, with secrets only under a passphrase typed twice", async () => {
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/home/me/out.json");
  const write = vi.spyOn(backend, "exportConnections");
  render(TransferDialogs);
  transfers.export();
  await fireEvent.click(await screen.findByRole("checkbox", { name: /With secrets/ }));
  expect((await button("Export…")).getAttribute("aria-disabled")).toBe("true");
  await fireEvent.input(screen.getByLabelText("New passphrase"), { target: { value: "correct horse" } });
  await fireEvent.input(screen.getByLabelText("Once more"), { target: { value: "correct cow" } });
  await screen.findByText("The two are not the same");
  await fireEvent.input(screen.getByLabelText("Once more"), { target: { value: "correct horse" } });
  await fireEvent.click(await button("Export…"));
  await waitFor(() => expect(write).toHaveBeenCalledWith("/home/me/out.json", null, "correct horse"));
  await waitFor(() => expect(transfers.busy).toBe(false));
});
