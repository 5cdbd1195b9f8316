import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { Fix } from "$lib/backend/types/Fix";
import { fingerprint } from "$lib/format";
import { engine } from "$lib/state/engine.svelte";
import { navigation } from "$lib/state/navigation.svelte";
import { secretPrompts } from "$lib/state/secretprompt.svelte";
import { certificate, certificateRefused, traceOf } from "../../../tests/fixture-backend";
import TraceView from "./TraceView.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const named = (name: string) => engine.tree.profiles.find((entry) => entry.name === name)?.id ?? "";

beforeEach(async () => {
  vi.restoreAllMocks();
  engine.traces = new Map();
  navigation.screen = { kind: "connection" };
  await engine.start();
});

/** Shows `Fleet mTLS` with a failure that offers these fixes. */
async function failing(...fixes: Fix[]) {
  const id = named("Fleet mTLS");
  const trace = traceOf(await backend.profile(id), { ...certificateRefused, fixes });
  engine.traces = new Map([[id, trace]]);
  render(TraceView, { id });
  return id;
}

test("a failure is told as an alert with what was not tried", async () => {
  await failing(...certificateRefused.fixes);
  const alert = await screen.findByRole("alert");
  expect(within(alert).getByRole("heading").textContent).toBe("The client certificate has expired");
  expect(alert.textContent).toContain("Transport stayed wss. No other scheme, port or credential was tried.");
  expect(screen.getByRole("tab", { selected: true }).textContent).toContain("TLS");
});

test("a one-click fix goes into the draft and is tried, and nothing is saved", async () => {
  const fix: Fix = {
    label: "Switch to mqtts",
    kind: "set_transport",
    change: { transport: "mqtts", port: 8883 },
  };
  const id = await failing(fix);
  const save = vi.spyOn(backend, "saveProfile");
  await fireEvent.click(await screen.findByRole("button", { name: "Apply and try again" }));
  await waitFor(() => expect(navigation.screen).toMatchObject({ kind: "editor", id, fix, test: true }));
  expect(save).not.toHaveBeenCalled();
});

test("pinning shows the certificate and its whole fingerprint first", async () => {
  const sha256 = certificate("line3-gw").sha256;
  const fix: Fix = { label: "", kind: "add_trust", change: { mode: "pinned", pinned_sha256: sha256 } };
  const id = await failing(fix);
  await fireEvent.click(await screen.findByRole("button", { name: "Apply and try again" }));
  const dialog = await screen.findByRole("dialog", { name: "Pin this server's key?" });
  expect(dialog.textContent).toContain(fingerprint(sha256));
  expect(navigation.screen.kind).toBe("connection");
  await fireEvent.click(within(dialog).getByRole("button", { name: "Pin and try again" }));
  await waitFor(() => expect(navigation.screen).toMatchObject({ kind: "editor", id, fix, test: true }));
});

test("a fix that needs more opens the editor with it", async () => {
  const fix: Fix = { label: "", kind: "choose_identity", change: {} };
  const id = await failing(fix);
  await fireEvent.click(await screen.findByRole("button", { name: "Choose files…" }));
  await waitFor(() => expect(navigation.screen).toMatchObject({ kind: "editor", id, fix }));
});

test("a refused password is asked for again where it was refused; without a user name the editor opens", async () => {
  const fix: Fix = { label: "", kind: "set_credentials", change: { target: "broker" } };
  const id = await failing(fix);
  const set = vi.spyOn(backend, "setSecrets");
  const connect = vi.spyOn(backend, "connect").mockResolvedValue();
  await screen.findByText("Enter the password again");
  await fireEvent.click(screen.getByRole("button", { name: "Enter…" }));
  expect(secretPrompts.asked).toEqual(expect.objectContaining({ id, fields: [{ kind: "password" }] }));
  expect(secretPrompts.asked?.why).toBe("refused");
  secretPrompts.answer(true);
  await waitFor(() => expect(connect).toHaveBeenCalledWith(id));
  expect(set).not.toHaveBeenCalled();
  cleanup();

  const saved = await backend.profile(id);
  const login = { enabled: true, username: "" };
  const settings = { ...saved.settings, login };
  vi.spyOn(backend, "profile").mockResolvedValue({ ...saved, settings });
  await failing(fix);
  await screen.findByText("Enter user name and password");
  await fireEvent.click(screen.getByRole("button", { name: "Enter…" }));
  await waitFor(() => expect(navigation.screen).toMatchObject({ kind: "editor", id, fix }));
});

test("trusting a CA asks for its file first, and does nothing without one", async () => {
  const fix: Fix = { label: "", kind: "add_trust", change: { mode: "system_and_ca" } };
  const id = await failing(fix);
  const pick = vi.spyOn(backend, "pickFile").mockResolvedValueOnce(null);
  const button = await screen.findByRole("button", { name: "Choose CA file…" });
  await fireEvent.click(button);
  await waitFor(() => expect(pick).toHaveBeenCalledOnce());
  expect(navigation.screen.kind).toBe("connection");
  pick.mockResolvedValueOnce("/certs/ca.pem");
  await fireEvent.click(button);
  const dialog = await screen.findByRole("dialog", { name: "Trust the CA of this file?" });
  expect(navigation.screen.kind).toBe("connection");
  await fireEvent.click(within(dialog).getByRole("button", { name: "Trust and try again" }));
  await waitFor(() =>
    expect(navigation.screen).toMatchObject({ kind: "editor", id, fix, caFile: "/certs/ca.pem", test: true }),
  );
});

test("what the port speaks is asked on a click, shown with what it would change, and filled into the draft", async () => {
  const probe = vi.spyOn(backend, "probe");
  const id = await failing({ label: "Find out what this port speaks", kind: "probe_port", change: {} });
  const button = await screen.findByRole("button", { name: "Find out" });
  expect(probe).not.toHaveBeenCalled();
  await fireEvent.click(button);
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByText("fleet.example:443 speaks wss.");
  expect(probe).toHaveBeenCalledOnce();
  expect(dialog.textContent).toContain("Not authorized");
  const save = vi.spyOn(backend, "saveProfile");
  await fireEvent.click(within(dialog).getByRole("button", { name: "Fill in" }));
  await waitFor(() => expect(navigation.screen).toMatchObject({ kind: "editor", id, test: true }));
  expect(navigation.screen).toMatchObject({
    draft: { endpoint: { websocket: true, tls: true, port: "443" } },
  });
  expect(save).not.toHaveBeenCalled();
});

test("a connection that never tried says so and offers to connect", async () => {
  const id = named("Raspberry Pi");
  render(TraceView, { id });
  expect(await screen.findByText("Not connected yet")).toBeTruthy();
  const connect = vi.spyOn(backend, "connect").mockResolvedValue();
  await fireEvent.click(screen.getByRole("button", { name: "Connect" }));
  expect(connect).toHaveBeenCalledWith(id);
});

test("the report is copied and the trace exported as JSON", async () => {
  const id = await failing();
  const copy = vi.spyOn(backend, "copyText").mockResolvedValue();
  await fireEvent.click(await screen.findByRole("button", { name: "Copy report" }));
  await waitFor(() => expect(copy.mock.calls[0]?.[0]).toContain("://fleet.example"));
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/tmp/trace.json");
  const write = vi.spyOn(backend, "writeTextFile").mockResolvedValue();
  await fireEvent.click(screen.getByRole("button", { name: "Export…" }));
  await waitFor(() => expect(write).toHaveBeenCalled());
  expect(JSON.parse(write.mock.calls[0]?.[1] ?? "")).toEqual(engine.traces.get(id));
});
