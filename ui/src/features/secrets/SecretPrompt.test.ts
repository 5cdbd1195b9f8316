import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, expect, test, vi } from "vitest";
import { backend } from "$lib/backend";
import type { SecretField } from "$lib/backend/types/SecretField";
import { connect, retype } from "$lib/connections";
import { engine } from "$lib/state/engine.svelte";
import { secretPrompts } from "$lib/state/secretprompt.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import SecretPrompt from "./SecretPrompt.svelte";

vi.mock("$lib/backend/tauri", async () => {
  const { fixtureBackend } = await import("../../../tests/fixture-backend");
  return { tauri: fixtureBackend() };
});

let id = "";
beforeEach(async () => {
  vi.restoreAllMocks();
  toasts.shown = [];
  await engine.start();
  id = engine.tree.profiles.find(({ name }) => name === "Packaging hall")?.id ?? "";
});

/** The engine lacks these, until they are set. */
function lacking(...fields: SecretField[]) {
  let there = false;
  const set = vi.spyOn(backend, "setSecrets").mockImplementation(async () => void (there = true));
  const start = vi.spyOn(backend, "connect").mockImplementation(async () => {
    if (!there) throw { code: "secret_needed", message: "It needs a secret.", details: { fields } };
  });
  render(SecretPrompt);
  return { set, start };
}

const input = (name: string) => screen.findByLabelText<HTMLInputElement>(name);
const type = async (name: string, value: string) => fireEvent.input(await input(name), { target: { value } });
const submit = async (name: string) => fireEvent.submit((await input(name)).closest("form")!);

test("a missing password is asked for, masked, handed over, and the connection goes on", async () => {
  const { set, start } = lacking({ kind: "password" });
  const done = connect(id);
  const field = await input("Password");
  expect(screen.getByRole("dialog", { name: "Enter the password for Packaging hall" })).toBeTruthy();
  expect(field.type).toBe("password");
  await waitFor(() => expect(document.activeElement).toBe(field));
  expect(screen.getByRole("button", { name: "Connect" }).getAttribute("aria-disabled")).toBe("true");
  await type("Password", "s3cret");
  await fireEvent.click(screen.getByRole("button", { name: "Show" }));
  expect(field.type).toBe("text");
  await submit("Password");
  await done;
  expect(set).toHaveBeenCalledWith(id, [{ field: { kind: "password" }, value: "s3cret", encoding: "utf8" }]);
  expect(start).toHaveBeenCalledTimes(2);
  expect(secretPrompts.asked).toBeNull();
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(document.documentElement.outerHTML).not.toContain("s3cret");
});

test("exactly the secrets that are missing are asked for, and all of them", async () => {
  const header: SecretField = { kind: "websocket_header", name: "x-token" };
  const { set } = lacking({ kind: "proxy_password" }, header);
  void connect(id);
  await type("Proxy password", "one");
  expect(screen.queryByLabelText("Password")).toBeNull();
  expect(screen.getByText("They are needed to connect and are not at hand in this session.")).toBeTruthy();
  await submit("Proxy password");
  expect(set).not.toHaveBeenCalled();
  await type("Value of the header x-token", "two");
  await submit("Proxy password");
  await waitFor(() => expect(set).toHaveBeenCalledOnce());
  expect(set.mock.calls[0]?.[1].map(({ field, value }) => [field.kind, value])).toEqual([
    ["proxy_password", "one"],
    ["websocket_header", "two"],
  ]);
});

test("Esc cancels: nothing is set, nothing is said, nothing connects", async () => {
  const { set, start } = lacking({ kind: "password" });
  const done = connect(id);
  await fireEvent.keyDown(await input("Password"), { key: "Escape" });
  await done;
  expect([set.mock.calls.length, start.mock.calls.length, toasts.shown.length]).toEqual([0, 1, 0]);
});

test("what the engine refuses is said in the dialog, and can be tried again", async () => {
  const { set } = lacking({ kind: "password" });
  set.mockRejectedValueOnce({ code: "storage", message: "The disk is full", details: {} });
  const done = connect(id);
  await type("Password", "s3cret");
  await submit("Password");
  await screen.findByText("The disk is full");
  await submit("Password");
  await done;
  expect(set).toHaveBeenCalledTimes(2);
});

test("questions wait for each other", async () => {
  const { set } = lacking({ kind: "password" });
  const other = engine.tree.profiles.find(({ name }) => name === "Raspberry Pi")?.id ?? "";
  const both = Promise.all([retype(id, [{ kind: "password" }]), retype(other, [{ kind: "password" }])]);
  for (const name of ["Packaging hall", "Raspberry Pi"]) {
    await screen.findByRole("dialog", { name: `Enter the password for ${name}` });
    expect((await input("Password")).value).toBe("");
    await type("Password", name);
    await submit("Password");
  }
  await both;
  expect(set.mock.calls.map(([to, [edit]]) => [to, edit?.value])).toEqual([
    [id, "Packaging hall"],
    [other, "Raspberry Pi"],
  ]);
});

test("the PIN of a token is asked for in its own words", async () => {
  const { set } = lacking({ kind: "token_pin" });
  const done = connect(id);
  await type("PIN of the token", "123456");
  expect(screen.getByRole("dialog", { name: "Enter the PIN of the token for Packaging hall" })).toBeTruthy();
  await submit("PIN of the token");
  await done;
  expect(set).toHaveBeenCalledWith(id, [{ field: { kind: "token_pin" }, value: "123456", encoding: "utf8" }]);
});
