import { describe, expect, it } from "vitest";
import { emptyDraft, propertyCount, toRequest, type Draft } from "$lib/state/drafts.svelte";
import { blocking, jsonProblem, outcomeRemark, payloadSize } from "./draft";

const draft = (some: Partial<Draft>): Draft => ({ ...emptyDraft(), topic: "a/b", ...some });
const outcome = { qos: 1 as const, code: 0, reason: "Success", reason_string: null, micros: 3_000 };

describe("a draft", () => {
  it("is held back only by what cannot be sent", () => {
    expect(blocking(draft({ payload: "{broken" }), true)).toEqual({});
    expect(Object.keys(blocking(draft({ topic: "a/#" }), true))).toEqual(["topic"]);
    expect(Object.keys(blocking(draft({ format: "hex", payload: "0" }), true))).toEqual(["payload"]);
    expect(Object.keys(blocking(draft({ format: "base64", payload: "a" }), true))).toEqual(["payload"]);
    expect(Object.keys(blocking(draft({ format: "file" }), true))).toEqual(["payload"]);
    expect(
      Object.keys(blocking(draft({ expiry: "1.5", topicAlias: "0", responseTopic: "+" }), true)),
    ).toEqual(["expiry", "topicAlias", "responseTopic"]);
    expect(blocking(draft({ expiry: "x" }), false)).toEqual({});
    expect(blocking(draft({ topicAlias: "7" }), true, 10)).toEqual({});
    expect(Object.keys(blocking(draft({ topicAlias: "11" }), true, 10))).toEqual(["topicAlias"]);
    expect(Object.keys(blocking(draft({ topicAlias: "1" }), true, 0))).toEqual(["topicAlias"]);
  });

  it("counts bytes, not characters", () => {
    expect(payloadSize(draft({ payload: "é" }))).toBe(2);
    expect(payloadSize(draft({ format: "hex", payload: "00 ff" }))).toBe(2);
    expect(payloadSize(draft({ format: "file", file: "/x" }))).toBeNull();
  });

  it("says where JSON breaks", () => {
    expect(jsonProblem(draft({ payload: "" }))).toBeNull();
    expect(jsonProblem(draft({ payload: '{"a":}' }))).toMatchObject({ kind: "unexpected", column: 6 });
    expect(jsonProblem(draft({ format: "text", payload: "{" }))).toBeNull();
  });

  it("becomes a request, with properties only for MQTT 5", () => {
    const some = draft({
      payload: "00",
      format: "hex",
      expiry: "30",
      responseTopic: "r",
      correlation: "x",
      payloadFormat: "bytes",
      user: [
        { name: "k", value: "v" },
        { name: "", value: "" },
      ],
    });
    expect(propertyCount(some)).toBe(5);
    expect(toRequest(some, true)).toEqual({
      topic: "a/b",
      payload: { text: "00", encoding: "hex" },
      qos: 0,
      retain: false,
      properties: {
        payload_format_utf8: false,
        message_expiry_s: 30,
        content_type: null,
        response_topic: "r",
        correlation_data: { text: "x", encoding: "utf8" },
        topic_alias: null,
        user_properties: [{ name: "k", value: "v" }],
      },
    });
    expect(toRequest(some, false).properties).toMatchObject({
      payload_format_utf8: null,
      message_expiry_s: null,
      correlation_data: null,
      user_properties: [],
    });
  });
});

describe("an outcome", () => {
  it("is said in words, with its code", () => {
    expect(outcomeRemark(outcome, 1)).toEqual({ tone: "ok", text: "PUBACK in 3.0 ms" });
    expect(outcomeRemark({ ...outcome, qos: 0, code: null, reason: "Sent" }, 0).text).toBe("Sent");
    expect(
      outcomeRemark({ ...outcome, code: 0x87, reason: "Not authorized", reason_string: "ACL" }, 1),
    ).toEqual({
      tone: "err",
      text: "Refused: Not authorized: ACL (0x87)",
    });
    expect(outcomeRemark({ ...outcome, code: 0x10, reason: "No matching subscribers" }, 1).tone).toBe("warn");
    expect(outcomeRemark(outcome, 2)).toMatchObject({ tone: "warn" });
  });
});
