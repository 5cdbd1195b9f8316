import { describe, expect, it, vi } from "vitest";
import { clipboardText, Inspected, PORTION, wholePayload } from "./payload.svelte";

const stored = vi.hoisted(() => ({
  bytes: new Uint8Array(),
  contentType: null as string | null,
  /** A byte that is damaged, and with it what is checked together with it. */
  hurt: null as number | null,
}));

vi.mock("$lib/backend", () => ({
  asEngineError: (thrown: unknown) => thrown,
  backend: {
    async messageDetail(_: string, seq: number) {
      const row = { seq, kind: "message", size: stored.bytes.length, content_type: stored.contentType };
      return { row, properties: { subscription_ids: [], user_properties: [] } };
    },
    async messagePayload(_: string, __: number, offset: number, limit: number) {
      const from = stored.hurt === null ? Infinity : stored.hurt - (stored.hurt % 16_384);
      if (offset < from + 16_384 && offset + limit > from)
        throw { code: "storage", message: "", details: { reason: "damaged_messages", path: "m.db" } };
      return stored.bytes.slice(offset, offset + limit);
    },
  },
}));

async function inspect(
  payload: string | Uint8Array,
  contentType: string | null = null,
  hurt: number | null = null,
): Promise<Inspected> {
  stored.hurt = hurt;
  stored.bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : Uint8Array.from(payload);
  stored.contentType = contentType;
  const inspected = new Inspected();
  await inspected.load("p", 1);
  return inspected;
}

describe("a payload", () => {
  it("is shown by what it is", async () => {
    expect((await inspect('{"a":1}')).best).toBe("json");
    expect((await inspect("{not json")).best).toBe("text");
    expect((await inspect("{not json", "application/json")).best).toBe("json");
    expect((await inspect("online")).best).toBe("text");
    expect((await inspect("42")).best).toBe("text");
    expect((await inspect(Uint8Array.of(1, 2, 3))).best).toBe("hex");
    expect((await inspect(Uint8Array.of(0xff, 0xd8))).best).toBe("hex");
    expect((await inspect("")).best).toBe("text");
  });

  it("comes in portions, laid out as far as it is there", async () => {
    const item = '{"id":9007199254740993},';
    const inspected = await inspect(`[${item.repeat(60_000)}1]`);
    expect(inspected.bytes.length).toBe(PORTION);
    expect(inspected.complete).toBe(false);
    expect(inspected.best).toBe("json");
    expect(inspected.json).toMatchObject({ ok: true });
    expect(inspected.json?.text.startsWith('[\n  {\n    "id": 9007199254740993\n  },\n  {')).toBe(true);
    await inspected.more("p");
    expect(inspected.complete).toBe(true);
    expect(inspected.json?.ok).toBe(true);
  });

  it("is shown up to where it is damaged, and says where that is", async () => {
    const text = "0123456789".repeat(20_000);
    for (const hurt of [0, 16_384, 150_000, 199_999]) {
      const inspected = await inspect(text, null, hurt);
      const whole = hurt - (hurt % 16_384);
      expect([inspected.damaged, inspected.complete, inspected.problem]).toEqual([true, false, null]);
      expect(inspected.bytes.length).toBe(whole);
      expect(inspected.best).toBe(whole === 0 ? "hex" : "text");
    }
    const long = await inspect(text.repeat(10), null, PORTION + 100_000);
    expect([long.damaged, long.bytes.length]).toEqual([false, PORTION]);
    await long.more("p");
    expect([long.damaged, long.bytes.length]).toEqual([true, PORTION + 98_304]);
    stored.hurt = null;
    await long.load("p", 2);
    expect([long.damaged, long.bytes.length]).toEqual([false, PORTION]);
  });

  it("is copied whole or not at all", async () => {
    stored.bytes = new Uint8Array(PORTION + 5).fill(0x61);
    expect((await wholePayload("p", 1, PORTION + 5))?.length).toBe(PORTION + 5);
    expect(await wholePayload("p", 1, PORTION + 5, PORTION)).toBeNull();
    expect(clipboardText(Uint8Array.of(0x68, 0x69))).toBe("hi");
    expect(clipboardText(Uint8Array.of(0xff, 0x00))).toBe("ff 00");
  });
});
