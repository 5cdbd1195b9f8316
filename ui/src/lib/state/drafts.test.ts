import { beforeEach, describe, expect, it, vi } from "vitest";
import { Composer } from "./drafts.svelte";

const values = vi.hoisted(() => new Map<string, unknown>());

vi.mock("$lib/backend", () => ({
  backend: {
    value: async (key: string) => values.get(key) ?? null,
    setValue: async (key: string, value: unknown) => void values.set(key, JSON.parse(JSON.stringify(value))),
  },
}));

describe("the composer", () => {
  beforeEach(() => values.clear());

  async function publish(composer: Composer, topic: string, at: number): Promise<void> {
    composer.draft.topic = topic;
    composer.published(at);
  }

  it("steps through what was published and back to the draft", async () => {
    const composer = new Composer("p");
    await composer.ready;
    await publish(composer, "one", 1);
    await publish(composer, "two", 2);
    composer.draft.topic = "unsent";
    composer.step(1);
    expect(composer.draft.topic).toBe("two");
    composer.step(1);
    composer.step(1);
    expect(composer.draft.topic).toBe("one");
    composer.step(-1);
    composer.step(-1);
    expect(composer.draft.topic).toBe("unsent");
    composer.step(-1);
    expect(composer.draft.topic).toBe("unsent");
    expect(composer.recentTopics).toEqual(["two", "one"]);
  });

  it("keeps the last 100, each once, over restarts", async () => {
    const composer = new Composer("p");
    await composer.ready;
    for (let at = 0; at < 120; at++) await publish(composer, `t/${at}`, at);
    await publish(composer, "t/100", 200);
    expect(composer.history.length).toBe(100);
    expect(composer.history[0]?.at).toBe(200);
    const again = new Composer("p");
    await again.ready;
    expect(again.history).toEqual(composer.history);
  });

  it("restores the draft", async () => {
    vi.useFakeTimers();
    const composer = new Composer("p");
    await composer.ready;
    composer.draft.topic = "kept";
    composer.changed();
    await vi.advanceTimersByTimeAsync(1000);
    vi.useRealTimers();
    const again = new Composer("p");
    await again.ready;
    expect(again.draft.topic).toBe("kept");
    expect(new Composer("other").draft.topic).toBe("");
  });
});
