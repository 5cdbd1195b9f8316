import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { LibraryCertificate } from "$lib/backend/types/LibraryCertificate";
import { fileErrorText } from "$lib/errors";
import { engine } from "$lib/state/engine.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import Entry from "./Entry.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const VAULT = "vault:6fb51b6e-6b1f-4f8a-9f2d-0d3b5f5e9a11";
let identity: LibraryCertificate;

beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  const found = (await backend.certificateLibrary()).find(
    ({ role, identity }) => role === "identity" && identity?.key_matches,
  );
  if (!found) throw new Error("the fixture has an identity");
  identity = found;
});

const show = (change: Partial<LibraryCertificate>) =>
  render(Entry, { entry: { ...identity, ...change }, open: true, onchanged: () => {} });

test("an encrypted key asks for its passphrase, goes into the vault, and replaces its files everywhere", async () => {
  const kept = { enabled: true, cert_file: "/kept.pem", key_file: VAULT };
  const locked = { code: "invalid_input", message: "It is encrypted", details: { field: "passphrase" } };
  const take = vi.spyOn(backend, "importIdentity").mockRejectedValueOnce(locked).mockResolvedValue(kept);
  const replace = vi.spyOn(backend, "replaceCertificate").mockResolvedValue(["a", "b"]);
  show({});
  await fireEvent.click(screen.getByRole("button", { name: "Import into the vault" }));
  await fireEvent.input(await screen.findByLabelText("Passphrase"), { target: { value: "s3cret" } });
  await fireEvent.click(screen.getByRole("button", { name: "Import" }));
  await waitFor(() => expect(replace).toHaveBeenCalled());
  expect(take.mock.calls[1]?.[2]).toEqual([
    { field: { kind: "key_passphrase" }, value: "s3cret", encoding: "utf8" },
  ]);
  expect(replace.mock.calls[0]?.[0]).toMatchObject({ file: identity.file, new_key_file: VAULT });
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(document.documentElement.outerHTML).not.toContain("s3cret");
});

test("a key in the vault is exported with a passphrase that is typed twice", async () => {
  const write = vi.spyOn(backend, "exportIdentity").mockResolvedValue();
  vi.spyOn(backend, "pickSavePath").mockResolvedValue("/out.p12");
  show({ key_file: VAULT, copy: true });
  await fireEvent.click(screen.getByRole("button", { name: "Export…" }));
  const action = await screen.findByRole("button", { name: "Export" });
  await fireEvent.input(screen.getByLabelText("Passphrase"), { target: { value: "s3cret" } });
  await fireEvent.input(screen.getByLabelText("Once more"), { target: { value: "other" } });
  expect(action.getAttribute("aria-disabled")).toBe("true");
  await fireEvent.input(screen.getByLabelText("Once more"), { target: { value: "s3cret" } });
  await fireEvent.click(action);
  await waitFor(() => expect(write).toHaveBeenCalled());
  expect(write.mock.calls[0]?.slice(1)).toEqual(["/out.p12", "s3cret"]);
});

test("a key that is all on a token is called by its label, and what is wrong with the token is said", () => {
  const key_file = "pkcs11:token=Plant%20north;object=press-42?module-path=/l.so";
  const report = { ...identity.report, certificates: [], path: key_file };
  const problem = {
    field: "",
    severity: "error" as const,
    code: "token_not_found",
    message: "It is not there.",
  };
  show({
    file: "",
    key_file,
    report,
    identity: { cert: null, key: report, key_matches: null, chain: [], unused: [] },
    problems: [problem],
  });
  screen.getByRole("article", { name: "press-42" });
  screen.getByText("on token Plant north");
  screen.getByText("It is not there.");
  expect(screen.getByText(key_file)).toBeTruthy();
});

test("a key in the vault that nothing names can be deleted, by its name", async () => {
  const forget = vi.spyOn(backend, "forgetCertificate").mockResolvedValue();
  const report = { ...identity.report, certificates: [] };
  show({ file: "", key_file: VAULT, identity: null, report, used_by: [], added: false, copy: false });
  screen.getByRole("article", { name: "Private key in the vault" });
  expect(screen.queryByRole("button", { name: /Export|Replace/ })).toBeNull();
  await fireEvent.click(screen.getByRole("button", { name: "Remove" }));
  const { confirmations } = await import("$components/confirm.svelte");
  expect(confirmations.asked?.danger).toBe(true);
  confirmations.answer(true);
  await waitFor(() => expect(forget).toHaveBeenCalledWith(VAULT));
});

test("a key that is kept encrypted can be decrypted into the vault", () => {
  show({ key_file: VAULT, copy: true, report: { ...identity.report, key_encrypted: true } });
  expect(screen.getByRole("button", { name: "Import into the vault" })).toBeTruthy();
});

test("a copy is removed when nobody uses it, a file of the person's when it was added", () => {
  const offered = () => screen.queryByRole("button", { name: "Remove" }) !== null;
  const cases = [
    [{ copy: true, added: true, used_by: ["a"] }, false],
    [{ copy: true, added: true, used_by: [] }, true],
    [{ copy: false, added: true, used_by: ["a"] }, true],
  ] as const;
  for (const [change, wanted] of cases) {
    const view = show({ ...change, used_by: [...change.used_by] });
    expect(offered()).toBe(wanted);
    view.unmount();
  }
});

test("what is wrong with an entry is said once", () => {
  const error = { code: "not_a_certificate" as const, message: "Not a certificate." };
  const report = { ...identity.report, certificates: [], key_type: null, key_encrypted: false, error };
  const problem = { field: "", severity: "error" as const, code: "ca_invalid", message: "It is not one." };
  const view = show({ not_after: null, identity: null, report, problems: [problem] });
  screen.getByText("It is not one.");
  expect(screen.queryByText(fileErrorText(error))).toBeNull();
  view.unmount();
  show({ not_after: null, identity: null, report, problems: [] });
  screen.getByText(fileErrorText(error));
});
