import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend, type FileDrag } from "$lib/backend";
import { composerOf } from "$lib/state/drafts.svelte";
import { engine } from "$lib/state/engine.svelte";
import Composer from "./Composer.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const idOf = (name: string) => engine.tree.profiles.find((entry) => entry.name === name)?.id ?? "";

beforeEach(async () => {
  vi.restoreAllMocks();
  await engine.start();
});

test("publishes with Ctrl+Enter and says what the broker made of it", async () => {
  const id = idOf("Line 3 gateway");
  const publish = vi
    .spyOn(backend, "publish")
    .mockResolvedValue({ qos: 1, code: 0, reason: "Success", reason_string: null, micros: 3_200 });
  render(Composer, { id });
  await composerOf(id).ready;
  const topic = screen.getByRole("combobox", { name: "Topic" });
  await fireEvent.input(topic, { target: { value: "a/b" } });
  await fireEvent.click(screen.getByRole("radio", { name: "1" }));
  await fireEvent.keyDown(topic, { key: "Enter", ctrlKey: true });
  await screen.findByText("PUBACK in 3.2 ms");
  expect(publish.mock.calls[0]?.[1]).toMatchObject({ topic: "a/b", qos: 1, retain: false });
  expect(composerOf(id).recentTopics).toEqual(["a/b"]);
});

test("says that a slow publication is under way, sends it once, and tells each answer anew", async () => {
  const id = idOf("Line 3 gateway");
  const outcome = { qos: 1 as const, code: 0, reason: "Success", reason_string: null, micros: 3_200 };
  const publish = vi.spyOn(backend, "publish").mockResolvedValue(outcome);
  render(Composer, { id });
  await composerOf(id).ready;
  await fireEvent.input(screen.getByRole("combobox", { name: "Topic" }), { target: { value: "a/b" } });
  await fireEvent.click(screen.getByRole("radio", { name: "1" }));
  const button = screen.getByRole("button", { name: /^Publish/ });
  await fireEvent.click(button);
  const first = await screen.findByText("PUBACK in 3.2 ms");
  expect(button.getAttribute("aria-busy")).toBeNull();

  let answer: (told: typeof outcome) => void = () => {};
  publish.mockReturnValue(new Promise((told) => (answer = told)));
  await fireEvent.click(button);
  await fireEvent.click(button);
  await screen.findByText("Publishing");
  expect(button.getAttribute("aria-busy")).toBe("true");
  expect(publish).toHaveBeenCalledTimes(2);
  answer(outcome);
  const second = await screen.findByText("PUBACK in 3.2 ms");
  expect(second).not.toBe(first);
  expect(button.getAttribute("aria-busy")).toBeNull();
});

test("says why a publication was refused, and keeps the draft", async () => {
  const id = idOf("Local broker");
  vi.spyOn(backend, "publish").mockRejectedValue({
    code: "limit_exceeded",
    message: "The broker accepts 256 kB. This payload is 1.2 MB.",
    details: {},
  });
  render(Composer, { id });
  await composerOf(id).ready;
  const topic = screen.getByRole("combobox", { name: "Topic" });
  await fireEvent.input(topic, { target: { value: "a/b" } });
  await fireEvent.click(screen.getByRole("button", { name: /^Publish/ }));
  await screen.findByText("The broker accepts 256 kB. This payload is 1.2 MB.");
  expect(composerOf(id).draft.topic).toBe("a/b");
});

test("sends nothing to a topic with wildcards or without a connection", async () => {
  const publish = vi.spyOn(backend, "publish");
  const { unmount } = render(Composer, { id: idOf("Press cell edge") });
  const topic = screen.getByRole("combobox", { name: "Topic" });
  await fireEvent.input(topic, { target: { value: "a/#" } });
  await fireEvent.keyDown(topic, { key: "Enter", ctrlKey: true });
  await screen.findAllByText("+ and # are for subscriptions, not for publishing.");
  unmount();
  render(Composer, { id: idOf("Raspberry Pi") });
  const off = screen.getByRole("button", { name: /^Publish/ });
  await waitFor(() => expect(off.getAttribute("aria-disabled")).toBe("true"));
  await fireEvent.click(off);
  expect(publish).not.toHaveBeenCalled();
});

test("an empty retained payload says that it clears the retained message", async () => {
  render(Composer, { id: idOf("Local broker") });
  await fireEvent.click(screen.getByRole("checkbox", { name: "Retain" }));
  await screen.findByText("Clears the retained message");
});

test("a file that is dropped is sent instead of what was typed, which is there again after it", async () => {
  let drag: (drag: FileDrag) => void = () => {};
  vi.spyOn(backend, "onFileDrag").mockImplementation((listener) => {
    drag = listener;
    return () => {};
  });
  const id = idOf("Line 3 gateway");
  const publish = vi.spyOn(backend, "publish");
  render(Composer, { id });
  const composer = composerOf(id);
  await composer.ready;
  composer.fill({ topic: "a/b", payload: '{"typed":1}' });
  document.elementFromPoint = () => screen.getByRole("region", { name: "Publish" });
  drag({ kind: "drop", x: 1, y: 1, paths: ["/tmp/firmware.bin", "/tmp/other.bin"] });
  await screen.findByText("/tmp/firmware.bin");
  await fireEvent.click(screen.getByRole("button", { name: /^Publish/ }));
  expect(publish.mock.calls[0]?.[1].payload).toEqual({ text: "/tmp/firmware.bin", encoding: "file" });
  expect(composer.draft.payload).toBe('{"typed":1}');
});
