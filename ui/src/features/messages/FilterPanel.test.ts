import { cleanup, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { savedFilters, StreamFilter } from "$lib/state/streamfilter.svelte";
import FilterPanel from "./FilterPanel.svelte";

const kept = vi.hoisted(() => ({ values: new Map<string, unknown>() }));
vi.mock("$lib/backend", () => ({
  asEngineError: (thrown: unknown) => thrown,
  backend: {
    value: async (key: string) => kept.values.get(key) ?? null,
    setValue: async (key: string, value: unknown) => void kept.values.set(key, value),
  },
}));

describe("the filter panel", () => {
  const click = (role: string, name: string) => fireEvent.click(screen.getByRole(role, { name }));
  const type = (name: string, value: string) =>
    fireEvent.input(screen.getByRole("textbox", { name }), { target: { value } });
  const submit = (name: string) => {
    const form = screen.getByRole("textbox", { name }).closest("form");
    return form ? fireEvent.submit(form) : Promise.reject(new Error("no form"));
  };
  const ongoto = vi.fn();
  let filter: StreamFilter;
  beforeEach(() => {
    kept.values.clear();
    filter = new StreamFilter();
    render(FilterPanel, { filter, jsonProblem: "nothing stands behind >", ongoto });
  });
  afterEach(cleanup);

  it("narrows by everything that it offers, and clears it", async () => {
    await click("checkbox", "QoS 2");
    await click("checkbox", "QoS 1");
    await click("radio", "Yes");
    await type("From", "2026-11-28 03:00");
    await type("Size, at least", "10");
    await type("JSON", "$.t > 1");
    await type("Property", "a=b");
    expect(filter.rows).toMatchObject({
      qos: [1, 2],
      retain: true,
      since: new Date(2026, 10, 28, 3).getTime() * 1000,
      until: null,
      min_size: 10,
      max_size: null,
      json: "$.t > 1",
      property: "a=b",
    });
    expect(filter.more).toBe(6);
    expect(screen.getByText("nothing stands behind >")).toBeTruthy();
    await click("button", "Clear filter");
    expect(filter.empty).toBe(true);
  });

  it("says when a moment cannot be read, and goes to one that can", async () => {
    await type("Go to time", "soon");
    expect(screen.getByText("Write 14:05, 2026-11-28 14:05 or -15 min")).toBeTruthy();
    await type("Go to time", "2026-11-28");
    await submit("Go to time");
    expect(ongoto).toHaveBeenCalledWith(new Date(2026, 10, 28).getTime() * 1000);
  });

  it("keeps filters under a name, uses them and forgets them", async () => {
    filter.criteria.json = "$.t > 1";
    filter.text = "hot";
    await type("Name of this filter", "too hot");
    await submit("Name of this filter");
    filter.clear();
    await fireEvent.click(await screen.findByRole("button", { name: "too hot" }));
    expect(filter.rows).toMatchObject({ text: "hot", json: "$.t > 1" });
    await click("button", "Forget filter too hot");
    expect(savedFilters.list).toEqual([]);
    expect(kept.values.get("stream.filters")).toEqual([]);
  });
});
