import { fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { confirmations } from "$components/confirm.svelte";
import { backend, type FileDrag } from "$lib/backend";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import { engine } from "$lib/state/engine.svelte";
import { navigation, type Screen } from "$lib/state/navigation.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import Editor from "./Editor.svelte";
import type { KeptDraft } from "./draft.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

type EditorScreen = Extract<Screen, { kind: "editor" }>;

let id = "";
beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  // Every test edits its own copy.
  const source = engine.tree.profiles.find((entry) => entry.name === "Fleet mTLS");
  id = (await backend.duplicateProfile(source?.id ?? "")).id;
  await engine.refreshTree();
});

async function open(change: Partial<EditorScreen> = {}) {
  const view = render(Editor, { screen: { kind: "editor", id, ...change } });
  await screen.findByRole("radiogroup", { name: "Transport" });
  return view;
}

const field = (name: string) => screen.getByLabelText<HTMLInputElement>(name);
const type = (name: string, value: string) => fireEvent.input(field(name), { target: { value } });

async function saved(): Promise<ProfileDraft> {
  const save = vi.spyOn(backend, "saveProfile");
  await fireEvent.click(screen.getByRole("button", { name: /^Save(?! and)/ }));
  await waitFor(() => expect(save).toHaveBeenCalled());
  return save.mock.calls[0]?.[0] as ProfileDraft;
}

test("pasting a URL sets switches, host, port, path and user name; the password becomes a secret", async () => {
  await open();
  await fireEvent.click(screen.getByRole("button", { name: /^URL:/ }));
  const bar = await screen.findByRole("textbox", { name: "URL" });
  const clipboardData = { getData: () => "ws://ada:s3cret@broker.example:9001/live" };
  await fireEvent.paste(bar, { clipboardData });
  await screen.findByRole("button", { name: "URL: ws://broker.example:9001/live" });
  expect(screen.getByRole("radio", { name: "ws" }).getAttribute("aria-checked")).toBe("true");
  expect(field("Username").value).toBe("ada");
  expect(field("Password").value).toBe("s3cret");
  expect(toasts.shown.at(-1)?.text()).toContain("no longer in the URL");
  expect(document.body.textContent).not.toContain("s3cret");

  const save = vi.spyOn(backend, "saveProfile");
  const draft = await saved();
  expect(draft.endpoint).toMatchObject({ websocket: true, tls: false, port: "9001", path: "/live" });
  expect(JSON.stringify(draft)).not.toContain("s3cret");
  expect(save.mock.calls[0]?.[2]).toEqual([
    { field: { kind: "password" }, value: "s3cret", encoding: "utf8" },
  ]);
});

test("turning the client certificate off and on never touches the transport", async () => {
  await open();
  const chosen = () =>
    within(screen.getByRole("radiogroup", { name: "Transport" })).getByRole("radio", { checked: true })
      .textContent;
  const before = chosen();
  await fireEvent.click(screen.getByRole("switch", { name: "Client certificate" }));
  expect(chosen()).toBe(before);
  await fireEvent.click(screen.getByRole("switch", { name: "Client certificate" }));
  expect(chosen()).toBe(before);
});

test("a certificate without TLS warns and offers both ways out", async () => {
  await open();
  await fireEvent.click(screen.getByRole("radio", { name: "mqtt" }));
  expect(screen.getByRole("switch", { name: "Client certificate" }).getAttribute("aria-checked")).toBe(
    "true",
  );
  await fireEvent.click(await screen.findByRole("button", { name: "Turn TLS on" }));
  expect(screen.getByRole("radio", { name: "mqtts" }).getAttribute("aria-checked")).toBe("true");

  await fireEvent.click(screen.getByRole("radio", { name: "ws" }));
  await fireEvent.click(await screen.findByRole("button", { name: "Turn certificate off" }));
  expect(screen.getByRole("radio", { name: "ws" }).getAttribute("aria-checked")).toBe("true");
});

test("3.1.1 disables what it does not know and keeps the value", async () => {
  await open();
  await type("Session expiry", "3600");
  await fireEvent.click(screen.getByRole("radio", { name: "3.1.1" }));
  expect(field("Session expiry").disabled).toBe(true);
  expect(field("Session expiry").value).toBe("3600");
  expect((await saved()).settings.session).toMatchObject({ version: "3.1.1", session_expiry_s: 3600 });
});

test("a number that cannot be read stays in the field, says so, and changes nothing", async () => {
  await open();
  await type("Keep alive", "7x");
  expect(field("Keep alive").value).toBe("7x");
  expect(screen.getByText("A whole number from 0 to 65,535")).toBeTruthy();
  expect((await saved()).settings.session.keep_alive_s).toBe(60);
});

test("problems appear at their field and in the section list, and do not block typing", async () => {
  await open();
  await type("Host", "");
  expect(await screen.findAllByText("A host name or address is missing")).not.toHaveLength(0);
  expect(field("Host").getAttribute("aria-invalid")).toBe("true");
  const nav = screen.getByRole("navigation", { name: "Sections" });
  expect(within(nav).getByRole("button", { name: /Transport/ }).textContent).toBeDefined();
  expect(within(nav).getByRole("img", { name: "1 problem" })).toBeTruthy();
});

test("unsaved changes are kept without secrets and offered again", async () => {
  const back = vi.spyOn(navigation, "back");
  const view = await open();
  await type("Host", "kept.example");
  await type("Password", "canary");
  await fireEvent.keyDown(window, { key: "Escape" });
  expect(back).toHaveBeenCalled();
  view.unmount();
  const kept = await backend.value<KeptDraft>(`draft:${id}`);
  expect(kept?.draft.endpoint.host).toBe("kept.example");
  expect(JSON.stringify(kept)).not.toContain("canary");

  await open();
  expect(field("Host").value).toBe("fleet.example");
  await fireEvent.click(screen.getByRole("button", { name: "Restore" }));
  expect(field("Host").value).toBe("kept.example");
});

test("saving forgets the kept draft; Ctrl+Enter saves and connects", async () => {
  await open();
  await type("Name", "Renamed");
  const connect = vi.spyOn(backend, "connect").mockResolvedValue();
  await fireEvent.keyDown(window, { key: "Enter", ctrlKey: true });
  await waitFor(() => expect(connect).toHaveBeenCalledWith(id));
  expect((await backend.profile(id)).name).toBe("Renamed");
  expect(await backend.value(`draft:${id}`)).toBeNull();
});

test("a fix from the trace is in the form and not saved", async () => {
  await open({ fix: { label: "", kind: "set_port", change: { port: 8084 } } });
  expect(field("Port").value).toBe("8084");
  expect(screen.getByText("Unsaved changes")).toBeTruthy();
  expect((await backend.profile(id)).endpoint.port).not.toBe("8084");
});

test("a test sends the draft as it stands and shows its stages", async () => {
  await open();
  const run = vi.spyOn(backend, "testConnection");
  await type("Host", "tested.example");
  await fireEvent.click(screen.getByRole("button", { name: "Test" }));
  expect(await screen.findByRole("button", { name: "Open trace" })).toBeTruthy();
  expect(run.mock.calls[0]?.[0].endpoint.host).toBe("tested.example");
  await fireEvent.click(screen.getByRole("button", { name: "Open trace" }));
  expect(await screen.findByRole("tablist", { name: "Connection trace" })).toBeTruthy();
  await fireEvent.click(screen.getByRole("button", { name: "Back to the form" }));
  expect(field("Host").value).toBe("tested.example");
});

test("files dropped on the page are sorted by content", async () => {
  let drag: (drag: FileDrag) => void = () => {};
  vi.spyOn(backend, "onFileDrag").mockImplementation((listener) => {
    drag = listener;
    return () => {};
  });
  await open();
  const page = screen.getByRole("region", { name: "Edit connection" });
  document.elementFromPoint = () => page;
  drag({ kind: "over", x: 1, y: 1 });
  expect(page.dataset["drop"]).toBe("over");
  drag({ kind: "drop", x: 1, y: 1, paths: ["/new/ca.pem", "/new/device.key", "/new/device.crt"] });
  expect(page.dataset["drop"]).toBeUndefined();
  await waitFor(() => expect(field("Private key").value).toBe("/new/device.key"));
  expect(field("Certificate").value).toBe("/new/device.crt");
  expect(field("CA file").value).toBe("/new/ca.pem");
});

test("a new connection starts empty and is saved into its folder", async () => {
  const folder = engine.tree.folders[0]?.id ?? null;
  await open({ id: null, folder });
  await type("Host", "fresh.example");
  const save = vi.spyOn(backend, "saveProfile");
  await fireEvent.click(screen.getByRole("button", { name: /^Save(?! and)/ }));
  await waitFor(() => expect(save).toHaveBeenCalled());
  expect(save.mock.calls[0]?.[1]).toBe(folder);
});

test("limits that would let messages go are asked about first, and who says no saves nothing", async () => {
  const draft = await backend.profile(id);
  await backend.saveProfile(
    {
      ...draft,
      settings: { ...draft.settings, retention: { max_rows: 1000, max_bytes: null, max_age_s: null } },
    },
    null,
    [],
  );
  const known = await backend.openConnection(id);
  engine.connections = new Map([[id, { ...known, counters: { ...known.counters, stored: 500 } }]]);
  await open();
  const asked = vi.spyOn(confirmations, "ask").mockResolvedValue(false);
  const save = vi.spyOn(backend, "saveProfile");
  const press = () => fireEvent.click(screen.getByRole("button", { name: /^Save(?! and)/ }));
  await type("Messages", "499");
  await press();
  await waitFor(() => expect(asked).toHaveBeenCalledTimes(1));
  expect(save).not.toHaveBeenCalled();
  await type("Messages", "500");
  await press();
  await waitFor(() => expect(save).toHaveBeenCalled());
  expect(asked).toHaveBeenCalledTimes(1);
});

test("the key of a certificate goes into the vault, and its passphrase is not needed any more", async () => {
  await open();
  const kept = {
    enabled: true,
    cert_file: "/kept.pem",
    key_file: "vault:6fb51b6e-6b1f-4f8a-9f2d-0d3b5f5e9a11",
  };
  const take = vi.spyOn(backend, "importIdentity").mockResolvedValue(kept);
  await fireEvent.click(await screen.findByRole("button", { name: "Import the key into the vault" }));
  await screen.findByRole("radio", { name: "In the vault" });
  expect(take.mock.calls[0]?.[1]).toBe(id);
  expect(screen.queryByLabelText("Private key")).toBeNull();
  expect((await saved()).settings.client_certificate).toEqual(kept);
});

test("a key on a token is chosen from what the library sees, and its PIN is a secret", async () => {
  await open();
  await fireEvent.click(screen.getByRole("radio", { name: "On a token" }));
  const list = vi.spyOn(backend, "tokenKeys");
  await type("PKCS#11 library", "/usr/lib/p11.so");
  await type("PIN", "123456");
  await fireEvent.click(screen.getByRole("button", { name: "Show tokens and keys" }));
  await fireEvent.click(await screen.findByRole("button", { name: /^press-42/ }));
  expect(list.mock.calls[0]?.slice(0, 2)).toEqual(["/usr/lib/p11.so", ""]);
  expect([field("Token").value, field("Key").value]).toEqual(["Plant north", "press-42"]);
  const save = vi.spyOn(backend, "saveProfile");
  const draft = await saved();
  expect(draft.settings.client_certificate.key_file).toBe(
    "pkcs11:token=Plant%20north;object=press-42?module-path=/usr/lib/p11.so",
  );
  expect(JSON.stringify(draft)).not.toContain("123456");
  expect(save.mock.calls[0]?.[2]).toContainEqual({
    field: { kind: "token_pin" },
    value: "123456",
    encoding: "utf8",
  });
});

test("a PIN that the token refuses is said at the PIN", async () => {
  await open();
  await fireEvent.click(screen.getByRole("radio", { name: "On a token" }));
  const refused = { code: "invalid_input", message: "The token refuses the PIN", details: { field: "pin" } };
  vi.spyOn(backend, "tokenKeys").mockRejectedValue(refused);
  await type("PKCS#11 library", "/usr/lib/p11.so");
  await fireEvent.click(screen.getByRole("button", { name: "Show tokens and keys" }));
  await waitFor(() => expect(field("PIN").getAttribute("aria-invalid")).toBe("true"));
});
