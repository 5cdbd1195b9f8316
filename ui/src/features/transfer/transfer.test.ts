/** Connections in and out, against the fixture's engine. */
import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend, type FileDrag } from "$lib/backend";
import type { EndpointReason } from "$lib/backend/types/EndpointReason";
import type { RemarkCode } from "$lib/backend/types/RemarkCode";
import { isCommandLine, transfers } from "$lib/state/transfers.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import EndpointBar from "$lib/mqtt/EndpointBar.svelte";
import TransferDialogs from "./TransferDialogs.svelte";
import { overwriteGetLocale } from "$runtime";
import { refusalText, remarkText } from "./words";

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
  await fireEvent.click(screen.getByRole("checkbox", { name: "Import Test bench" }));
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

/** Every one there is: the type tells when one is missing. */
const CODES: Record<RemarkCode, true> = {
  no_counterpart: true,
  not_understood: true,
  wrong_value: true,
  replaced: true,
  changed: true,
  of_the_run: true,
  messages_left: true,
  file_missing: true,
  unreadable: true,
  key_left: true,
  host_not_verified: true,
  certificate_without_tls: true,
  transport_decides: true,
  server_not_verified: true,
  shell_variable: true,
  rest_of_line: true,
  folder_unnamed: true,
  cannot_connect: true,
  no_endpoint: true,
  more: true,
};
const REASONS: Record<EndpointReason, true> = {
  url_empty: true,
  scheme_missing: true,
  scheme_unknown: true,
  url_fragment: true,
  login_characters: true,
  username_not_utf8: true,
  bracket_missing: true,
  after_bracket: true,
  brackets_needed: true,
  host_missing: true,
  host_is_url: true,
  host_with_port: true,
  not_ipv6: true,
  zone_invalid: true,
  host_space: true,
  host_characters: true,
  host_empty_part: true,
  host_too_long: true,
  not_ipv4: true,
  port_invalid: true,
  path_fragment: true,
  path_control: true,
  path_too_long: true,
  path_without_websocket: true,
  proxy_url: true,
};

test.each(["en", "zh"] as const)("every remark and every reason has words in %s", (language) => {
  overwriteGetLocale(() => language);
  const own = (text: string) =>
    expect(text).toMatch(language === "zh" ? /\p{Script=Han}/u : /^[^\p{Script=Han}]+$/u);
  for (const code of Object.keys(CODES) as RemarkCode[]) {
    // Its words are those of its reason, below.
    if (code !== "cannot_connect") own(remarkText({ code, field: "f", value: "v", used: "u", reason: null }));
  }
  for (const reason of Object.keys(REASONS) as EndpointReason[]) {
    const text = remarkText({
      code: "cannot_connect",
      field: "endpoint.host",
      value: "no host",
      used: "an English sentence",
      reason,
    });
    own(text);
    expect(text).not.toContain("English sentence");
  }
  own(
    refusalText({ code: "invalid_input", message: "", details: { reason: "damaged", line: 3, column: 7 } }),
  );
  overwriteGetLocale(() => "en");
});

test("an export without secrets says whose private key is not in it", async () => {
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/home/me/out.json");
  const without_key = ["a", "b", "c", "d", "e", "f", "g"];
  vi.spyOn(backend, "exportConnections").mockResolvedValue({
    profiles: 7,
    secrets: 0,
    missing: 0,
    damaged: [],
    without_key,
  });
  render(TransferDialogs);
  transfers.export();
  await fireEvent.click(await button("Export…"));
  await waitFor(() =>
    expect(toasts.shown.map(({ text }) => text())).toContain(
      "The private keys of these connections are in the vault, and not in the file: a, b, c, d, e and 2 more",
    ),
  );
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
