import { describe, expect, it, vi } from "vitest";
import { clipboardText, Inspected, PORTION, wholePayload } from "./payload.svelte";

const stored = vi.hoisted(() => ({ bytes: new Uint8Array(), contentType: null as string | null }));

vi.mock("$lib/backend", () => ({
  asEngineError: (thrown: unknown) => thrown,
  backend: {
    async messageDetail(_: string, seq: number) {
      const row = { seq, kind: "message", size: stored.bytes.length, content_type: stored.contentType };
      return { row, properties: { subscription_ids: [], user_properties: [] } };
    },
    async messagePayload(_: string, __: number, offset: number, limit: number) {
      return stored.bytes.slice(offset, offset + limit);
    },
  },
}));

async function inspect(payload: string | Uint8Array, contentType: string | null = null): Promise<Inspected> {
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

  it("is copied whole or not at all", async () => {
    stored.bytes = new Uint8Array(PORTION + 5).fill(0x61);
    expect((await wholePayload("p", 1, PORTION + 5))?.length).toBe(PORTION + 5);
    expect(await wholePayload("p", 1, PORTION + 5, PORTION)).toBeNull();
    expect(clipboardText(Uint8Array.of(0x68, 0x69))).toBe("hi");
    expect(clipboardText(Uint8Array.of(0xff, 0x00))).toBe("ff 00");
  });
});
