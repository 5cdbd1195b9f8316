import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { VaultState } from "$lib/backend/types/VaultState";
import type { VaultStatus } from "$lib/backend/types/VaultStatus";
import { connect } from "$lib/connections";
import { engine } from "$lib/state/engine.svelte";
import { secretPrompts } from "$lib/state/secretprompt.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import { vault } from "$lib/state/vault.svelte";
import { advice, keptText, stateText } from "$lib/vault";
import { VAULT_PASSPHRASE } from "../../../tests/fixture-backend";
import { VaultPrompt, VaultSettings } from "./index";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const STATES: VaultState[] = [
  "off",
  "empty",
  "closed",
  "open",
  "locked",
  "no_service",
  "denied",
  "silent",
  "key_missing",
  "key_corrupt",
  "key_wrong",
  "newer_version",
  "unreadable",
  "failed",
];

let id = "";
const initial: VaultStatus = {
  keep: "keyring",
  state: "open",
  path: "/home/mara/secrets.vault",
  stored: 7,
  in_memory: 0,
  choice_needed: false,
  auto_lock_minutes: 15,
  set_aside: null,
};
beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  id = engine.tree.profiles.find(({ name }) => name === "Packaging hall")?.id ?? "";
});

/** The engine says this of its vault until it is told to change it. */
function as(change: Partial<VaultStatus>): void {
  const status = { ...initial, ...change };
  vi.spyOn(backend, "vaultStatus").mockResolvedValue(status);
  vault.take(status);
}

/** Connecting needs the vault until `opens` was called. */
function lockedOut() {
  let open = false;
  vi.spyOn(backend, "connect").mockImplementation(async () => {
    const details = { fields: [{ kind: "password" }] };
    if (!open) throw { code: "vault_locked", message: "Locked.", details };
  });
  return { opens: () => (open = true) };
}

const type = async (name: string, value: string) =>
  fireEvent.input(await screen.findByLabelText(name), { target: { value } });

test("a connection that needs a locked vault asks for the passphrase and goes on", async () => {
  as({ keep: "passphrase", state: "locked" });
  const { opens } = lockedOut();
  const unlock = vi.spyOn(backend, "unlockVault").mockImplementation(async (text) => {
    if (text !== VAULT_PASSPHRASE) throw { code: "passphrase_wrong", message: "No.", details: {} };
    opens();
    return { ...initial, keep: "passphrase", state: "open" };
  });
  render(VaultPrompt);
  const done = connect(id);
  expect(await screen.findByText("Packaging hall needs a secret that is stored in the vault.")).toBeTruthy();
  const field = await screen.findByLabelText<HTMLInputElement>("Passphrase");
  expect(field.type).toBe("password");
  await type("Passphrase", "wrong horse");
  await fireEvent.click(screen.getByRole("button", { name: "Unlock" }));
  expect(await screen.findByText("This is not the passphrase of the vault")).toBeTruthy();
  await type("Passphrase", VAULT_PASSPHRASE);
  await fireEvent.click(screen.getByRole("button", { name: "Unlock" }));
  await done;
  expect(unlock).toHaveBeenCalledTimes(2);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(document.documentElement.outerHTML).not.toContain(VAULT_PASSPHRASE);
});

test("a locked keyring is explained, and the secret can be typed instead", async () => {
  as({ keep: "keyring", state: "locked" });
  lockedOut();
  render(VaultPrompt);
  void connect(id);
  expect(await screen.findByText("The keyring is locked")).toBeTruthy();
  await fireEvent.click(screen.getByRole("button", { name: "Type the secrets instead" }));
  await waitFor(() => expect(secretPrompts.asked?.fields).toEqual([{ kind: "password" }]));
  secretPrompts.answer(false);
});

test("a keyring that answers late opens the vault and the connection goes on by itself", async () => {
  as({ keep: "keyring", state: "silent" });
  const { opens } = lockedOut();
  render(VaultPrompt);
  const done = connect(id);
  expect(await screen.findByText("The keyring has not answered")).toBeTruthy();
  opens();
  vault.take({ ...initial, state: "open" });
  await done;
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
});

test("cancelling leaves the connection alone and reports nothing", async () => {
  as({ keep: "passphrase", state: "locked" });
  lockedOut();
  render(VaultPrompt);
  const done = connect(id);
  await fireEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await done;
  expect(toasts.shown).toEqual([]);
});

test("without a keyring it is asked once where secrets shall be kept", async () => {
  as({ state: "no_service", stored: 0, in_memory: 1, choice_needed: true });
  const choose = vi.spyOn(backend, "chooseVault");
  render(VaultPrompt);
  expect(await screen.findByRole("dialog", { name: "There is no keyring" })).toBeTruthy();
  const session = screen.getByRole("radio", { name: /This session only/ });
  expect(session.getAttribute("aria-checked")).toBe("true");
  await fireEvent.click(screen.getByRole("button", { name: "Use this" }));
  expect(choose).toHaveBeenCalledWith("session", null);
});

test("leaving the vault is asked about first, since what is stored goes", async () => {
  as({});
  const choose = vi.spyOn(backend, "chooseVault");
  render(VaultSettings);
  const uses = await screen.findAllByRole("button", { name: "Use" });
  await fireEvent.click(uses[0]!);
  expect(choose).not.toHaveBeenCalled();
  const { confirmations } = await import("$components/confirm.svelte");
  expect(confirmations.asked?.danger).toBe(true);
  confirmations.answer(true);
  await waitFor(() => expect(choose).toHaveBeenCalledWith("session", null));
});

test("a new passphrase is typed twice, and long enough", async () => {
  as({});
  const choose = vi.spyOn(backend, "chooseVault");
  render(VaultSettings);
  await fireEvent.click(await screen.findByRole("button", { name: "Use…" }));
  const submit = await screen.findByRole("button", { name: "Use passphrase vault" });
  await type("New passphrase", "short");
  await type("Once more", "short");
  expect(submit.getAttribute("aria-disabled")).toBe("true");
  await type("New passphrase", VAULT_PASSPHRASE);
  await type("Once more", "correct mouse");
  expect(await screen.findByText("The two are not the same")).toBeTruthy();
  expect(submit.getAttribute("aria-disabled")).toBe("true");
  await type("Once more", VAULT_PASSPHRASE);
  await fireEvent.click(submit);
  await waitFor(() => expect(choose).toHaveBeenCalledWith("passphrase", VAULT_PASSPHRASE));
});

test("every state has words, and every trouble says what to do", () => {
  for (const keep of ["keyring", "passphrase"] as const) {
    for (const state of STATES) {
      expect(stateText({ keep, state }), state).toBeTruthy();
      expect(keptText({ keep, state }), state).toBeTruthy();
      const fine = ["off", "closed", "open"].includes(state) || (state === "empty" && keep === "keyring");
      expect(advice({ keep, state }) === null, `${keep} ${state}`).toBe(fine);
    }
  }
});
