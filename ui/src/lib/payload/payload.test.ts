import { describe, expect, it } from "vitest";
import { ascii, decodeText, hexPairs, parseBase64, parseHex, readable, toBase64 } from "./bytes";
import { previewPieces, prettyJson } from "./json";

function pretty(source: string): string {
  const result = prettyJson(source);
  if (!result.ok) throw new Error(JSON.stringify(result.problem));
  return result.text;
}

function problem(source: string) {
  const result = prettyJson(source);
  return result.ok ? null : result.problem;
}

describe("pretty JSON", () => {
  it("keeps every number as it was written", () => {
    const numbers = [
      "9007199254740993",
      "1.0",
      "-0",
      "1e400",
      "0.1000000000000000055511151231257827",
      "1E+2",
    ];
    const text = pretty(`[${numbers.join(",")}]`);
    expect(text).toBe(`[\n  ${numbers.join(",\n  ")}\n]`);
  });

  it("keeps order, repeated names, escapes and empty containers", () => {
    expect(pretty('{"b":{},"a":[],"b":"\\u00e9\\n","c":{"d":[1,{"e":null}]}}')).toBe(
      '{\n  "b": {},\n  "a": [],\n  "b": "\\u00e9\\n",\n  "c": {\n    "d": [\n      1,\n      {\n        "e": null\n      }\n    ]\n  }\n}',
    );
  });

  it("changes nothing when done twice", () => {
    const once = pretty(' { "a" : [ true , false ] } ');
    expect(pretty(once)).toBe(once);
  });

  it("takes scalars", () => {
    for (const text of ["1.43", '"x"', "true", "null"]) expect(pretty(` ${text}\n`)).toBe(text);
  });

  it("says where it stops being JSON", () => {
    expect(problem('{"a":1,\n "b"')).toEqual({ kind: "ends", at: 12, line: 2, column: 5 });
    expect(problem('{"a":1,}')).toMatchObject({ kind: "unexpected", at: 7 });
    expect(problem("[1 2]")).toMatchObject({ kind: "unexpected", at: 3 });
    expect(problem("[01]")).toMatchObject({ kind: "unexpected", at: 1 });
    expect(problem("{a:1}")).toMatchObject({ kind: "unexpected", at: 1 });
    expect(problem('{"a":1]')).toMatchObject({ kind: "unexpected", at: 6 });
    expect(problem("{} x")).toMatchObject({ kind: "unexpected", at: 3 });
    expect(problem('["abc')).toMatchObject({ kind: "ends" });
    expect(problem("[tru")).toMatchObject({ kind: "ends" });
    expect(problem('"a\nb"')).toMatchObject({ kind: "unexpected" });
    expect(problem("NaN")).toMatchObject({ kind: "unexpected", at: 0 });
    expect(problem("")).toMatchObject({ kind: "ends" });
  });

  it("lays out what there is of a text that was cut", () => {
    expect(prettyJson('{"a":[1,{"b":"cu')).toMatchObject({
      ok: false,
      text: '{\n  "a": [\n    1,\n    {\n      "b": "cu',
    });
  });

  it("survives deep nesting", () => {
    expect(problem("[".repeat(20_000))).toMatchObject({ kind: "ends" });
  });
});

describe("previews", () => {
  it("set keys and punctuation back", () => {
    expect(previewPieces('{"temp_c":71.4,"state":"RUN","t')).toEqual([
      { text: '{"temp_c":', quiet: true },
      { text: "71.4", quiet: false },
      { text: ',"state":', quiet: true },
      { text: '"RUN"', quiet: false },
      { text: ",", quiet: true },
      { text: '"t', quiet: false },
    ]);
    expect(previewPieces("online")).toEqual([{ text: "online", quiet: false }]);
  });

  it("lose no character", () => {
    for (const text of ['{"a": [1, "x:{y", \\ ] "', "[[[", '{"":""}']) {
      expect(
        previewPieces(text)
          .map((piece) => piece.text)
          .join(""),
      ).toBe(text);
    }
  });
});

describe("bytes", () => {
  const bytes = (...values: number[]) => Uint8Array.from(values);

  it("say where they stop being UTF-8", () => {
    expect(decodeText(new TextEncoder().encode("请更换 é 😀"), true)).toEqual({
      ok: true,
      text: "请更换 é 😀",
    });
    expect(decodeText(bytes(0x61, 0xff, 0x62), true)).toEqual({ ok: false, at: 1 });
    expect(decodeText(bytes(0xed, 0xa0, 0x80), true)).toEqual({ ok: false, at: 0 });
    expect(decodeText(bytes(0xc0, 0x80), true)).toEqual({ ok: false, at: 0 });
    expect(decodeText(bytes(0x61, 0xe8, 0xaf), true)).toEqual({ ok: false, at: 1 });
  });

  it("may be cut inside a character when more follows", () => {
    expect(decodeText(bytes(0x61, 0xe8, 0xaf), false)).toEqual({ ok: true, text: "a" });
    expect(decodeText(bytes(0x61, 0xe8, 0x41), false)).toEqual({ ok: false, at: 1 });
  });

  it("are readable when free of control characters", () => {
    expect(readable("a\tb\r\n")).toBe(true);
    expect(readable("a\u0000")).toBe(false);
  });

  it("go to hex, ASCII and base64 and back", () => {
    const some = bytes(0, 0x41, 0x7e, 0x7f, 0xff);
    expect(hexPairs(some)).toBe("00 41 7e 7f ff");
    expect(ascii(some)).toBe("·A~··");
    expect(parseHex("00 41 7e\n7fFF")).toEqual(some);
    expect(parseHex("0")).toBeNull();
    expect(parseHex("zz")).toBeNull();
    expect(parseBase64(toBase64(some))).toEqual(some);
    expect(parseBase64("a")).toBeNull();
  });
});
