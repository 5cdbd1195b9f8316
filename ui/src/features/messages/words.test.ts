import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { setLocale } from "$runtime";
import type { EventFacts } from "$lib/backend/types/EventFacts";
import { eventText } from "./words";

const failure: Extract<EventFacts, { about: "failure" }>["failure"] = {
  stage: "mqtt",
  code: "keep_alive_timeout",
  message: "in English",
  cause: "in English too",
  seen_during: "mqtt",
  evidence: { packet_bytes: 5000, arrived_bytes: 1200, bytes_per_second: 80, silent_s: 30 },
  fixes: [],
  retryable: true,
};
const table: [EventFacts, string][] = [
  [{ about: "connection", url: "mqtt://b", client_id: "me" }, "mqtt://b，客户端 ID me"],
  [{ about: "goodbye", polite: true }, "已发送 DISCONNECT"],
  [{ about: "goodbye", polite: false }, "未发送 DISCONNECT"],
  [{ about: "failure", url: "mqtt://b:1883", failure }, "b:1883 在一个 5,000 字节的报文传到一半时停止了。"],
  [
    { about: "refusal", topic: "a/#", code: 0x87, reason: "Not authorized", reason_string: "no" },
    "服务器拒绝了 a/#：Not authorized（0x87）：no",
  ],
  [
    { about: "refusal", topic: "a", code: 0x80, reason: null, reason_string: null },
    "服务器拒绝了 a，未说明原因（0x80）",
  ],
  [{ about: "unacknowledged", topic: "a" }, "a 得到确认之前，连接已中断"],
  [{ about: "dropped", count: 1 }, "1 条消息未能保存"],
  [{ about: "dropped", count: 2000 }, "2,000 条消息未能保存"],
];

afterAll(() => setLocale("en", { reload: false }));

test("whatever an event is about has words of the window's language", () => {
  const kinds = [
    ...readFileSync("src/lib/backend/types/EventFacts.ts", "utf8").matchAll(/"about": "(\w+)"/g),
  ].map(([, kind]) => kind);
  expect(new Set(table.map(([{ about }]) => about))).toEqual(new Set(kinds));
  setLocale("zh", { reload: false });
  for (const [facts, words] of table) {
    const told = eventText({ text: "in English", facts });
    expect(told).toContain(words);
    expect(told).not.toContain("in English");
  }
  expect(eventText({ text: "as an earlier version kept it", facts: null })).toBe(
    "as an earlier version kept it",
  );
});
