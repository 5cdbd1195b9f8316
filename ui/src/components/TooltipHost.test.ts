import { fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import TooltipHost from "./TooltipHost.svelte";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

function button(text: string, tip: string): HTMLElement {
  const element = document.body.appendChild(document.createElement("button"));
  element.textContent = text;
  element.dataset.tip = tip;
  // As after a key; where the document was never touched by one, no focus is visible.
  vi.spyOn(element, "matches").mockReturnValue(true);
  return element;
}

test("keyboard focus shows what the element does not say itself", async () => {
  render(TooltipHost);
  button("", "Copy the log").focus();
  await vi.advanceTimersByTimeAsync(1000);
  expect(screen.getByRole("tooltip").textContent).toContain("Copy the log");
});

test("a tab that says its name is named to the pointer alone", async () => {
  render(TooltipHost);
  const tab = button("Trace 3", "Trace");
  tab.focus();
  await vi.advanceTimersByTimeAsync(1000);
  expect(screen.queryByRole("tooltip")).toBeNull();
  await fireEvent.pointerOver(tab);
  await vi.advanceTimersByTimeAsync(1000);
  expect(screen.getByRole("tooltip").textContent).toContain("Trace");
});
