import { fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import ExportDialog from "$features/messages/ExportDialog.svelte";
import ReplayDialog from "$features/messages/ReplayDialog.svelte";
import PasteDialog from "$features/library/PasteDialog.svelte";
import TrustDialog from "$features/trace/TrustDialog.svelte";
import { VaultPrompt } from "$features/vault";
import { asEngineError, backend, type EngineError } from "$lib/backend";
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import { errorWords } from "$lib/errors";
import { engine } from "$lib/state/engine.svelte";
import { noFilter } from "$lib/state/streamfilter.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import { vault } from "$lib/state/vault.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const full: EngineError = { code: "storage", message: "", details: { reason: "full", path: "/data" } };
const no_certificate: EngineError = {
  code: "invalid_input",
  message: "",
  details: { reason: "no_certificate_in_text" },
};
let certificate: CertificateInfo;

beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  const [first] = (await backend.certificateLibrary()).flatMap(({ report }) => report.certificates);
  if (!first) throw new Error("the fixture has a certificate");
  certificate = first;
});
afterEach(() => expect(toasts.shown, "nothing is said behind the dialog").toEqual([]));

interface Case {
  dialog: string;
  action: string;
  refusal: EngineError;
  show: () => void;
}

const CASES: Case[] = [
  {
    dialog: "Paste certificates",
    action: "Add",
    refusal: no_certificate,
    show: () => render(PasteDialog, { open: true, onpaste: async () => Promise.reject(no_certificate) }),
  },
  {
    dialog: "Paste certificates",
    action: "Add",
    refusal: full,
    show: () => render(PasteDialog, { open: true, onpaste: async () => Promise.reject(full) }),
  },
  {
    dialog: "Export messages",
    action: "Choose a file…",
    refusal: full,
    show: () => {
      vi.spyOn(backend, "pickSavePath").mockResolvedValue("/tmp/plant.csv");
      vi.spyOn(backend, "exportMessages").mockRejectedValue(full);
      render(ExportDialog, { open: true, id: "a", filter: noFilter(), everything: true });
    },
  },
  {
    dialog: "Replay r.ndjson",
    action: "Start",
    refusal: full,
    show: () => {
      vi.spyOn(backend, "replayFile").mockRejectedValue(full);
      render(ReplayDialog, { path: "/tmp/r.ndjson", id: "a" });
    },
  },
  {
    dialog: "Trust the CA that the server presented?",
    action: "Trust and try again",
    refusal: full,
    show: () => {
      const fix = { label: "", kind: "add_trust" as const, change: { mode: "system_and_ca" as const } };
      const question = { fix, kind: "presented" as const, certificates: [certificate], issued: null };
      const onconfirm = async () => Promise.reject(full);
      render(TrustDialog, { question, host: "localhost", onconfirm, onchoose: () => {}, oncancel: () => {} });
    },
  },
  {
    dialog: "There is no keyring",
    action: "Use this",
    refusal: full,
    show: () => {
      vi.spyOn(backend, "chooseVault").mockRejectedValue(full);
      if (vault.status)
        vault.take({ ...vault.status, keep: "keyring", state: "no_service", choice_needed: true });
      render(VaultPrompt);
    },
  },
];

test.each(CASES)(
  "$dialog: what is refused is said in it, and it stays ($refusal.code)",
  async ({ dialog, action, refusal, show }) => {
    show();
    const shown = await screen.findByRole("dialog", { name: dialog });
    const text = within(shown).queryByRole<HTMLTextAreaElement>("textbox", { name: dialog });
    if (text) await fireEvent.input(text, { target: { value: "nothing of the kind" } });
    await fireEvent.click(within(shown).getByRole("button", { name: action }));
    const said = await within(shown).findByRole("alert");
    expect(said.textContent.trim()).toBe(errorWords(asEngineError(refusal)));
    expect(screen.getByRole("dialog", { name: dialog })).toBe(shown);
    if (!text) return;
    expect(text.value).toBe("nothing of the kind");
    const isOfText = refusal.code === "invalid_input";
    expect(text.getAttribute("aria-invalid")).toBe(isOfText ? "true" : null);
    await fireEvent.input(text, { target: { value: "another" } });
    await waitFor(() => expect(within(shown).queryByRole("alert")).toBeNull());
  },
);
