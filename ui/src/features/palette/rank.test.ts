import { expect, it } from "vitest";
import { rank } from "./rank";

const entries = [
  { label: "Staging cluster", detail: "wss://staging.example" },
  { label: "Line 3 gateway", detail: "wss://mqtt.plant.example" },
  { label: "Local broker", detail: "mqtt://localhost" },
];
const found = (query: string) => rank(entries, query).map(({ label }) => label);

it("keeps the order without a query", () => expect(found("")).toHaveLength(3));
it("prefers the start of the name over the start of a word over the middle", () =>
  expect(found("l")).toEqual(["Line 3 gateway", "Local broker", "Staging cluster"]));
it("wants every word, in the name or beside it", () => {
  expect(found("gate plant")).toEqual(["Line 3 gateway"]);
  expect(found("gate staging")).toEqual([]);
});
