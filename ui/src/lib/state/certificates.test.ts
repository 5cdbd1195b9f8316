import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { LibraryCertificate } from "$lib/backend/types/LibraryCertificate";
import { nowMicros } from "$lib/format";
import { certificates, DAY_MICROS, endingOf } from "./certificates.svelte";
import { toasts } from "./toasts.svelte";

const entry = (days: number, used_by: string[] = ["p1"]): LibraryCertificate => ({
  role: "identity",
  file: "/certs/press.p12",
  key_file: "",
  identity: null,
  report: {
    path: "/certs/press.p12",
    found: "",
    certificates: [],
    key_type: null,
    key_encrypted: false,
    bundle: true,
    revocation_lists: [],
    error: null,
  },
  problems: [],
  used_by,
  added: false,
  copy: false,
  not_after: now + days * DAY_MICROS,
});
const now = nowMicros();

beforeEach(() => {
  toasts.shown = [];
  vi.restoreAllMocks();
});

test("an end is 30, 7 or 1 days away, or past", () => {
  const ending = (days: number) => endingOf(entry(days), now);
  expect([40, 29, 6, 0.5, -1].map(ending)).toEqual([null, 30, 7, 1, "ended"]);
  expect(endingOf({ not_after: null }, now)).toBeNull();
});

test("each threshold is announced once, for certificates in use", async () => {
  let kept: unknown = null;
  vi.spyOn(backend, "value").mockImplementation(async () => kept as never);
  vi.spyOn(backend, "setValue").mockImplementation(async (_, value) => void (kept = value));
  const list = vi.spyOn(backend, "certificateLibrary");
  const refresh = async (entries: LibraryCertificate[]) => {
    list.mockResolvedValue(entries);
    await certificates.refresh();
  };
  await refresh([entry(20), entry(3, [])]);
  expect(toasts.shown.map(({ text }) => text())).toEqual(["press.p12 ends within 30 days"]);
  await refresh([entry(20)]);
  expect(toasts.shown).toHaveLength(1);
  expect(certificates.endingFor("p1")?.ending).toBe(30);
  expect(certificates.endingFor("p2")).toBeNull();
  // The same certificate, later: its end stands still, the threshold moves.
  const end = entry(20).not_after;
  await refresh([{ ...entry(3), not_after: end }]);
  expect(toasts.shown).toHaveLength(1);
  await refresh([entry(3)]);
  expect(toasts.shown.at(-1)?.text()).toBe("press.p12 ends within 7 days");
});
