import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import type { EndpointParts } from "$lib/backend/types/EndpointParts";
import { passwordIn } from "$lib/endpoint";
import EndpointBar from "./EndpointBar.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

const said = { onswitch: vi.fn(), onurl: vi.fn(), onpassword: vi.fn(), onenter: vi.fn() };
const plant: EndpointParts = {
  websocket: true,
  tls: true,
  host: "plant.example",
  port: "8084",
  path: "/mqtt",
};

beforeEach(() => Object.values(said).forEach((listener) => listener.mockReset()));

const shown = () => screen.getByRole("button", { name: /^URL/ });
const field = () => screen.getByRole<HTMLInputElement>("textbox", { name: "URL" });

test("each switch changes itself alone", async () => {
  render(EndpointBar, { endpoint: plant, ...said });
  await fireEvent.click(screen.getByRole("switch", { name: "TLS" }));
  expect(said.onswitch).toHaveBeenCalledWith({ ...plant, tls: false });
});

test("Enter reads what was typed, then goes on; focus stays in the bar", async () => {
  render(EndpointBar, { endpoint: plant, ...said });
  await fireEvent.click(shown());
  expect(field().value).toBe("wss://plant.example:8084/mqtt");
  await fireEvent.input(field(), { target: { value: "mqtt://other.example" } });
  await fireEvent.keyDown(field(), { key: "Enter" });
  await waitFor(() => expect(said.onenter).toHaveBeenCalledOnce());
  expect(said.onurl.mock.calls[0]?.[0].endpoint).toMatchObject({ websocket: false, tls: false });
  await waitFor(() => expect(document.activeElement).toBe(shown()));
});

test("what is no URL is said and kept, but for its password", async () => {
  render(EndpointBar, { endpoint: plant, ...said });
  await fireEvent.click(shown());
  await fireEvent.input(field(), { target: { value: "mqtt://ada:s3cret@host:99999" } });
  await fireEvent.keyDown(field(), { key: "Enter" });
  expect((await screen.findByRole("alert")).textContent).toContain("65535");
  expect(field().value).toBe("mqtt://ada@host:99999");
  expect(said.onpassword).toHaveBeenCalledWith("s3cret");
  expect(said.onenter).not.toHaveBeenCalled();
});

test("Esc takes back what was typed, and is left to others when there is nothing", async () => {
  const away = vi.fn();
  window.addEventListener("keydown", away);
  render(EndpointBar, { endpoint: { ...plant, host: "" }, ...said });
  await fireEvent.input(field(), { target: { value: "mqtt://x" } });
  await fireEvent.keyDown(field(), { key: "Escape" });
  expect([field().value, away.mock.calls.length]).toEqual(["", 0]);
  await fireEvent.keyDown(field(), { key: "Escape" });
  expect(away).toHaveBeenCalledOnce();
  window.removeEventListener("keydown", away);
});

test("a bar that is only shown takes a double click or a key to be edited", async () => {
  render(EndpointBar, { endpoint: plant, readonly: true, ...said });
  await fireEvent.click(shown(), { detail: 1 });
  expect(screen.queryByRole("textbox")).toBeNull();
  await fireEvent.keyDown(shown(), { key: "F2" });
  expect(field()).toBeTruthy();
});

test("a password is found in whatever was meant as a URL", () => {
  expect(passwordIn("wss://ada:p@ss@broker/mqtt")).toBe("p@ss");
  expect(passwordIn("mqtt://ada:a/b@broker")).toBe("a/b");
  expect(passwordIn("mqtt://ada:x@:1")).toBe("x");
  expect(passwordIn("mqtt://broker:1883/a@b")).toBeNull();
  expect(passwordIn("mqtt://ada@broker:1883")).toBeNull();
});
