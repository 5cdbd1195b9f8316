import { describe, expect, it } from "vitest";
import { filterPieces, filterProblem, matches, nameProblem, narrowest, shortened } from "./topic";

describe("topics", () => {
  it.each([
    ["sport/tennis/player1/#", "sport/tennis/player1", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
    ["sport/#", "sport", true],
    ["sport/tennis/+", "sport/tennis/player1", true],
    ["sport/tennis/+", "sport/tennis/player1/ranking", false],
    ["sport/+", "sport", false],
    ["sport/+", "sport/", true],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+", "/finance", false],
    ["#", "$SYS/uptime", false],
    ["+/monitor", "$SYS/monitor", false],
    ["$SYS/#", "$SYS/uptime", true],
    ["$share/qa/a/+", "a/b", true],
    ["a/b", "a/b/c", false],
    ["a/b/c", "a/b", false],
  ])("%s and %s: %s", (filter, topic, want) => {
    expect(matches(filter, topic)).toBe(want);
  });

  it("says what is wrong with a filter", () => {
    for (const good of ["#", "+", "a/#", "+/a/+", "/", "$share/g/#", "$SYS/#"]) {
      expect(filterProblem(good), good).toBeNull();
    }
    expect(filterProblem("")).toBe("empty");
    expect(filterProblem("a#")).toBe("multi_level");
    expect(filterProblem("#/a")).toBe("multi_level");
    expect(filterProblem("a+/b")).toBe("single_level");
    expect(filterProblem("$share/g")).toBe("share");
    expect(filterProblem("$share//a")).toBe("share");
    expect(filterProblem("a\0")).toBe("null");
    expect(filterProblem("€".repeat(21_846))).toBe("too_long");
  });

  it("keeps wildcards out of names", () => {
    expect(nameProblem("a/+")).toBe("wildcard");
    expect(nameProblem("a/b")).toBeNull();
  });

  it("cuts a topic so that the last two levels stay whole", () => {
    expect(shortened("factory/line-3/press-07/telemetry")).toEqual({
      prefix: "factory/line-3/",
      leaf: "press-07/telemetry",
    });
    expect(shortened("a/b")).toEqual({ prefix: "", leaf: "a/b" });
    expect(shortened("a")).toEqual({ prefix: "", leaf: "a" });
    expect(shortened("/a/b")).toEqual({ prefix: "/", leaf: "a/b" });
    expect(shortened("a/b/")).toEqual({ prefix: "a/", leaf: "b/" });
    expect(shortened("/")).toEqual({ prefix: "", leaf: "/" });
  });

  it("finds the filter that says most about a topic", () => {
    const filters = ["factory/#", "factory/+/+/alarm", "factory/line-3/cmd/#", "#", "factory/#"];
    expect(narrowest(filters, "factory/line-3/press/state")).toBe(0);
    expect(narrowest(filters, "factory/line-3/press/alarm")).toBe(1);
    expect(narrowest(filters, "factory/line-3/cmd/set")).toBe(2);
    expect(narrowest(filters, "other")).toBe(3);
    expect(narrowest(filters, "$SYS/x")).toBe(-1);
  });

  it("names the wildcards of a filter", () => {
    expect(filterPieces("a/+/#")).toEqual([
      { text: "a/", wild: false },
      { text: "+", wild: true },
      { text: "/", wild: false },
      { text: "#", wild: true },
    ]);
  });
});
