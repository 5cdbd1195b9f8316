import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { runShortcut } from "$lib/shortcuts";
import { toasts } from "$lib/state/toasts.svelte";
import { m } from "$messages";
import { setLocale } from "$runtime";
import ToastSpeech from "./ToastSpeech.svelte";
import Toasts from "./Toasts.svelte";

const show = (text: string, run?: () => void) =>
  toasts.show({ tone: "info", text: () => text, action: run && { label: () => "Undo", run } });

beforeEach(() => {
  vi.useFakeTimers();
  toasts.shown = [];
  toasts.release();
});
afterEach(() => {
  vi.useRealTimers();
  setLocale("en", { reload: false });
});

test("F8 leads to the newest remark, Esc dismisses it, and focus returns once all are gone", async () => {
  const field = document.body.appendChild(document.createElement("input"));
  field.focus();
  render(Toasts);
  show("first");
  show("second");
  await screen.findByText("second");
  expect(screen.queryByText("first")).toBeNull();
  expect(runShortcut("notices")).toBe(true);
  expect(document.activeElement?.getAttribute("aria-label")).toBe("Dismiss (Esc)");
  const away = vi.fn();
  window.addEventListener("keydown", away);
  await fireEvent.keyDown(document.activeElement!, { key: "Escape" });
  await screen.findByText("first");
  await waitFor(() => expect(document.activeElement?.getAttribute("aria-label")).toBe("Dismiss (Esc)"));
  await fireEvent.keyDown(document.activeElement!, { key: "Escape" });
  await waitFor(() => expect(document.activeElement).toBe(field));
  expect(toasts.shown).toEqual([]);
  expect(away, "Esc closes the remark and nothing else").not.toHaveBeenCalled();
  window.removeEventListener("keydown", away);
  field.remove();
});

test("the others wait behind their number, with what can be done about them", async () => {
  const undo = vi.fn();
  render(Toasts);
  show("a connection was deleted", undo);
  show("copied");
  await fireEvent.click(await screen.findByRole("button", { name: "Other notices: 1" }));
  await fireEvent.click(await screen.findByRole("button", { name: "Undo" }));
  expect(undo).toHaveBeenCalledOnce();
  expect(toasts.shown.map(({ text }) => text())).toEqual(["copied"]);
});

test("a remark goes by itself, but not while somebody is at it", async () => {
  render(Toasts);
  show("brief");
  await screen.findByText("brief");
  runShortcut("notices");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(toasts.shown).toHaveLength(1);
  (document.activeElement as HTMLElement).blur();
  await vi.advanceTimersByTimeAsync(4_900);
  expect(toasts.shown).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(toasts.shown).toEqual([]);
});

test("remarks are spoken politely, failures at once", async () => {
  render(ToastSpeech);
  show("saved");
  await waitFor(() => expect(screen.getByRole("status").textContent).toBe("saved"));
  toasts.show({ tone: "err", text: () => "not saved" });
  await waitFor(() => expect(screen.getByRole("alert").textContent).toBe("not saved"));
});

test("the action of the only remark runs, though the remark is gone with it", async () => {
  render(Toasts);
  const run = vi.fn();
  show("Line 1 deleted", run);
  await fireEvent.click(await screen.findByRole("button", { name: "Undo" }));
  expect(run).toHaveBeenCalledOnce();
  expect(toasts.shown).toEqual([]);
});

test("a remark speaks the language that the window was changed to, and what can be done too", async () => {
  toasts.show({ tone: "info", text: m.action_dismiss, action: { label: m.action_undo, run: () => {} } });
  for (const [locale, words] of [
    ["en", ["Dismiss", "Undo"]],
    ["zh", ["关闭", "撤销"]],
  ] as const) {
    setLocale(locale, { reload: false });
    // The window is drawn anew.
    const view = render(Toasts);
    await screen.findByText(words[0]);
    screen.getByRole("button", { name: words[1] });
    view.unmount();
  }
});
