import { expect, test } from "vitest";
import type { Fix } from "$lib/backend/types/Fix";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import { exampleDraft } from "../../tests/fixtures/draft";
import { applyFix, changesBetween, fieldOf, isOneClick, needsCaFile } from "./fixes";

/** The parts that say who we are and whom we trust. */
const auth = ({ settings }: ProfileDraft) => [settings.login, settings.client_certificate, settings.trust];
const fix = (action: Omit<Fix, "label">) => ({ label: "", ...action }) as Fix;
const fields = (before: ProfileDraft, after: ProfileDraft) =>
  changesBetween(before, after).map(({ field }) => field);

test("set_transport changes scheme and port as told, and nothing of authentication", () => {
  const draft = exampleDraft();
  const next = applyFix(draft, fix({ kind: "set_transport", change: { transport: "mqtts", port: 8883 } }));
  expect(next.endpoint).toMatchObject({ websocket: false, tls: true, port: "8883", path: "/mqtt" });
  expect(auth(next)).toEqual(auth(draft));
  expect(fields(draft, next)).toEqual(["url"]);
  expect(draft).toEqual(exampleDraft());
});

test("set_transport without a port leaves the port", () => {
  const next = applyFix(exampleDraft(), fix({ kind: "set_transport", change: { transport: "mqtt" } }));
  expect(next.endpoint).toMatchObject({ websocket: false, tls: false, port: "8084" });
});

test("set_port and set_path change that alone", () => {
  const draft = exampleDraft();
  expect(changesBetween(draft, applyFix(draft, fix({ kind: "set_port", change: { port: 443 } })))).toEqual([
    { field: "url", from: "wss://mqtt.fleet.example:8084/mqtt", to: "wss://mqtt.fleet.example:443/mqtt" },
  ]);
  expect(applyFix(draft, fix({ kind: "set_path", change: { path: "/ws" } })).endpoint.path).toBe("/ws");
  const open = fix({ kind: "set_port", change: {} });
  expect(applyFix(draft, open)).toEqual(draft);
  expect(isOneClick(open)).toBe(false);
  expect(fieldOf(open)).toBe("endpoint.port");
});

test("set_server takes host and port, also of an IPv6 address", () => {
  const server = (text: string) =>
    applyFix(exampleDraft(), fix({ kind: "set_server", change: { server: text } })).endpoint;
  expect(server("b2.example:8883")).toMatchObject({ host: "b2.example", port: "8883" });
  expect(server("b2.example b3.example")).toMatchObject({ host: "b2.example", port: "8084" });
  expect(server("[fe80::1]:1883")).toMatchObject({ host: "[fe80::1]", port: "1883" });
  expect(applyFix(exampleDraft(), fix({ kind: "set_server", change: {} }))).toEqual(exampleDraft());
});

test("add_trust pins, adds a CA file, or accepts a name mismatch and nothing else", () => {
  const draft = exampleDraft();
  const pin = fix({ kind: "add_trust", change: { mode: "pinned", pinned_sha256: "ab" } });
  expect(applyFix(draft, pin).settings.trust).toMatchObject({ mode: "pinned", pinned_sha256: "ab" });
  expect(isOneClick(pin)).toBe(true);

  const ca = fix({ kind: "add_trust", change: { mode: "ca_only" } });
  expect(needsCaFile(ca)).toBe(true);
  const trusting = applyFix(draft, ca, "/ca2.pem").settings.trust;
  expect(trusting).toMatchObject({
    mode: "ca_only",
    ca_files: ["/home/ada/certs/ca-bundle.pem", "/ca2.pem"],
  });
  expect(applyFix(draft, ca, "/home/ada/certs/ca-bundle.pem").settings.trust.ca_files).toHaveLength(1);

  const name = fix({ kind: "add_trust", change: { mode: "system_and_ca", verify_host_name: false } });
  expect(needsCaFile(name)).toBe(false);
  expect(fields(draft, applyFix(draft, name))).toEqual(["host_name"]);
});

test("choose_identity swaps the files or turns the certificate off, keeping them", () => {
  const draft = exampleDraft();
  const { cert_file, key_file } = draft.settings.client_certificate;
  const swapped = applyFix(draft, fix({ kind: "choose_identity", change: { swap: true } }));
  expect(swapped.settings.client_certificate).toEqual({
    enabled: true,
    cert_file: key_file,
    key_file: cert_file,
  });
  const off = applyFix(draft, fix({ kind: "choose_identity", change: { disable: true } }));
  expect(off.settings.client_certificate).toEqual({ enabled: false, cert_file, key_file });
  expect(off.endpoint).toEqual(draft.endpoint);
});

test("choose_identity without files turns the certificate on, for them to be chosen", () => {
  const draft = exampleDraft();
  draft.settings.client_certificate.enabled = false;
  const next = applyFix(draft, fix({ kind: "choose_identity", change: {} }));
  expect(fields(draft, next)).toEqual(["client_certificate"]);
});

test("set_version changes the version alone", () => {
  const draft = exampleDraft();
  const next = applyFix(draft, fix({ kind: "set_version", change: { version: "3.1.1" } }));
  expect(changesBetween(draft, next)).toEqual([{ field: "version", from: "5", to: "3.1.1" }]);
  expect(next.settings.session.session_expiry_s).toBe(3600);
});

test("set_credentials turns the login on for the broker and opens the right field for others", () => {
  const draft = exampleDraft();
  draft.settings.login.enabled = false;
  const broker = fix({ kind: "set_credentials", change: { target: "broker" } });
  expect(fields(draft, applyFix(draft, broker))).toEqual(["login"]);
  const proxy = fix({ kind: "set_credentials", change: { target: "proxy" } });
  expect(applyFix(draft, proxy)).toEqual(draft);
  expect(fieldOf(proxy)).toBe("settings.proxy.username");
  expect(fieldOf(fix({ kind: "set_credentials", change: { target: "http" } }))).toBe(
    "settings.websocket.headers",
  );
});

test.each(["enter_passphrase", "probe_port", "retry"] as const)("%s changes nothing by itself", (kind) => {
  const draft = exampleDraft();
  expect(applyFix(draft, fix({ kind, change: {} }))).toEqual(draft);
});
