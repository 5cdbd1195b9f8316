import { expect, test } from "vitest";
import type { Fix } from "$lib/backend/types/Fix";
import { exampleDraft } from "../../tests/fixtures/draft";
import { secretsToRetype } from "./secrets";

const credentials = (target: "broker" | "proxy" | "http"): Fix => ({
  label: "",
  kind: "set_credentials",
  change: { target },
});

test("a secret can be typed again where its user name or header is there already", () => {
  const { settings } = exampleDraft();
  settings.login = { enabled: true, username: "ada" };
  settings.proxy = { ...settings.proxy, kind: "http", username: "ada" };
  settings.websocket.headers = [
    { name: "X-Plain", value: "1", secret: false },
    { name: "Authorization", value: "", secret: true },
    { name: "authorization", value: "", secret: true },
  ];
  expect(secretsToRetype(credentials("broker"), settings)).toEqual([{ kind: "password" }]);
  expect(secretsToRetype(credentials("proxy"), settings)).toEqual([{ kind: "proxy_password" }]);
  expect(secretsToRetype(credentials("http"), settings)).toEqual([
    { kind: "websocket_header", name: "authorization" },
  ]);
});

test("where more is missing than a secret, the editor has to ask", () => {
  const { settings } = exampleDraft();
  settings.login = { enabled: false, username: "ada" };
  settings.proxy = { ...settings.proxy, kind: "none", username: "ada" };
  settings.websocket.headers = [];
  for (const target of ["broker", "proxy", "http"] as const) {
    expect(secretsToRetype(credentials(target), settings)).toEqual([]);
  }
  settings.login = { enabled: true, username: "" };
  expect(secretsToRetype(credentials("broker"), settings)).toEqual([]);
});

test("the passphrase of a key is asked for while its certificate is used", () => {
  const { settings } = exampleDraft();
  const fix: Fix = { label: "", kind: "enter_passphrase", change: {} };
  expect(secretsToRetype(fix, settings)).toEqual([{ kind: "key_passphrase" }]);
  settings.client_certificate.enabled = false;
  expect(secretsToRetype(fix, settings)).toEqual([]);
  expect(secretsToRetype({ label: "", kind: "retry", change: {} }, settings)).toEqual([]);
});
