import { expect, it } from "vitest";
import type { ConnectionTab } from "$lib/state/navigation.svelte";
import { TabFollower } from "./follow";

function tabs(open: ConnectionTab = "messages") {
  const state = {
    open,
    tabOf: () => state.open,
    openTab: (_: string, tab: ConnectionTab) => void (state.open = tab),
  };
  return state;
}

it("opens the trace when an asked-for connect fails, and goes back once it works", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  for (const phase of ["idle", "connecting", "failed"] as const) follower.take("a", phase);
  expect(state.open).toBe("trace");
  for (const phase of ["connecting", "connected"] as const) follower.take("a", phase);
  expect(state.open).toBe("messages");
});

it("leaves the tab alone when a connection is lost and retried", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  for (const phase of ["connected", "waiting", "connecting", "waiting"] as const) follower.take("a", phase);
  expect(state.open).toBe("messages");
});

it("keeps a tab that was chosen meanwhile", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  for (const phase of ["idle", "connecting", "failed"] as const) follower.take("a", phase);
  follower.chosen("a");
  for (const phase of ["connecting", "connected"] as const) follower.take("a", phase);
  expect(state.open).toBe("trace");
});

it("takes the first state it sees as given", () => {
  const state = tabs();
  new TabFollower(state).take("a", "failed");
  expect(state.open).toBe("messages");
});
