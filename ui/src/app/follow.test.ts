import { expect, it } from "vitest";
import type { Failure } from "$lib/backend/types/Failure";
import type { Verdict } from "$lib/backend/types/Verdict";
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

let clock = 0;
function ended(outcome: Verdict["outcome"], attempt = 1, code: Failure["code"] = "connection_refused") {
  const failure = outcome === "failed" ? ({ code } as Failure) : null;
  return { attempt, started_at: ++clock, verdict: { outcome, failure, url: "mqtt://host", micros: 1 } };
}

it("opens the trace when an asked-for connect fails, and goes back once it works", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  follower.take("a", { attempt: 1, started_at: ++clock, verdict: null });
  expect(state.open).toBe("messages");
  follower.take("a", ended("failed"));
  expect(state.open).toBe("trace");
  follower.take("a", ended("connected"));
  expect(state.open).toBe("messages");
});

it("opens it again for the next failure, though only once for each", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  const first = ended("failed");
  follower.take("a", first);
  state.open = "messages";
  follower.chosen("a");
  follower.take("a", first);
  expect(state.open).toBe("messages");
  follower.take("a", ended("failed"));
  expect(state.open).toBe("trace");
});

it("leaves the tab alone when a connection is lost and retried", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  follower.take("a", ended("connected"));
  for (const attempt of [2, 3]) follower.take("a", ended("failed", attempt));
  expect(state.open).toBe("messages");
});

it("leaves the tab alone when the person stops the attempt", () => {
  const state = tabs();
  new TabFollower(state).take("a", ended("failed", 1, "cancelled"));
  expect(state.open).toBe("messages");
});

it("keeps a tab that was chosen meanwhile", () => {
  const state = tabs();
  const follower = new TabFollower(state);
  follower.take("a", ended("failed"));
  follower.chosen("a");
  follower.take("a", ended("connected"));
  expect(state.open).toBe("trace");
});
