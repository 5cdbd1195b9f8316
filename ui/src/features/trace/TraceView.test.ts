import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { Fix } from "$lib/backend/types/Fix";
import { engine } from "$lib/state/engine.svelte";
import { navigation } from "$lib/state/navigation.svelte";
import { secretPrompts } from "$lib/state/secretprompt.svelte";
import { certificateRefused, traceOf } from "../../../tests/fixture-backend";
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

test("a one-click fix saves exactly its change and connects", async () => {
  const id = await failing({
    label: "Switch to mqtts",
    kind: "set_transport",
    change: { transport: "mqtts", port: 8883 },
  });
  const before = await backend.profile(id);
  const save = vi.spyOn(backend, "saveProfile");
  const connect = vi.spyOn(backend, "connect");
  await fireEvent.click(await screen.findByRole("button", { name: "Apply and try again" }));
  await waitFor(() => expect(connect).toHaveBeenCalledWith(id));
  const saved = save.mock.calls[0]?.[0];
  expect(saved?.endpoint).toMatchObject({ websocket: false, tls: true, port: "8883" });
  expect(saved?.settings).toEqual(before.settings);
  expect(save.mock.calls[0]?.[2]).toEqual([]);
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
  await waitFor(() =>
    expect(navigation.screen).toMatchObject({ kind: "editor", id, fix, caFile: "/certs/ca.pem" }),
  );
});

test("what cannot be done yet is not offered", async () => {
  await failing(
    { label: "Find out what this port speaks", kind: "probe_port", change: {} },
    { label: "Try again", kind: "retry", change: {} },
  );
  const alert = await screen.findByRole("alert");
  await within(alert).findByRole("button");
  expect(within(alert).getAllByRole("button")).toHaveLength(1);
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
