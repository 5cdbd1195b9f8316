import { expect, test } from "vitest";
import type { FileReport } from "$lib/backend/types/FileReport";
import type { Problem } from "$lib/backend/types/Problem";
import { overwriteGetLocale } from "$runtime";
import { certificate, deviceCa } from "../../../tests/fixtures/certificates";
import { exampleDraft } from "../../../tests/fixtures/draft";
import { isWritten } from "$lib/secrets";
import { EditorDraft } from "./draft.svelte";
import { droppedAs, placeFile } from "./drops";
import { problemText } from "$lib/problems";
import { inOrder, sectionOf } from "./problems";

const start = () => ({ draft: exampleDraft(), folder: null });
const problem = (field: string, severity: Problem["severity"], code = "x"): Problem => ({
  field,
  severity,
  code,
  message: `${field} in English`,
});

test("typed secrets become edits, untouched ones do not, an emptied one is cleared", () => {
  const editor = new EditorDraft(start(), [{ field: { kind: "proxy_password" }, place: "keyring" }], false);
  expect(editor.edits).toEqual([]);
  editor.password = "00ff";
  editor.passwordEncoding = "hex";
  editor.proxyPassword = "";
  expect(editor.edits).toEqual([
    { field: { kind: "password" }, value: "00ff", encoding: "hex" },
    { field: { kind: "proxy_password" }, value: null, encoding: "utf8" },
  ]);
  expect(editor.changed).toBe(true);
  editor.password = "";
  expect(editor.edits).toHaveLength(1);
});

test("a secret in another spelling is checked before it is sent", () => {
  expect(isWritten("anything", "utf8")).toBe(true);
  expect(isWritten("AP8=", "base64")).toBe(true);
  expect(isWritten("AP8", "base64")).toBe(false);
  expect(isWritten("00 FF", "hex")).toBe(true);
  expect(isWritten("0", "hex")).toBe(false);
});

test("what is kept for later has no secret in it", () => {
  const editor = new EditorDraft(start(), [], false);
  editor.password = "canary-1";
  editor.draft.settings.websocket.headers.push({ name: "Authorization", value: "canary-2", secret: false });
  editor.setHeaderSecret(1, true);
  expect(JSON.stringify(editor.kept())).not.toContain("canary");
  expect(editor.edits).toContainEqual({
    field: { kind: "websocket_header", name: "authorization" },
    value: "canary-2",
    encoding: "utf8",
  });
});

test("a secret header keeps its typed value when renamed, and loses the stored one with its name", () => {
  const editor = new EditorDraft(
    start(),
    [{ field: { kind: "websocket_header", name: "x-old" }, place: "session" }],
    false,
  );
  editor.draft.settings.websocket.headers = [{ name: "X-Old", value: "", secret: true }];
  editor.headerSecrets["x-old"] = "typed";
  editor.renameHeader(0, "X-New");
  expect(editor.edits).toEqual([
    { field: { kind: "websocket_header", name: "x-new" }, value: "typed", encoding: "utf8" },
    { field: { kind: "websocket_header", name: "x-old" }, value: null, encoding: "utf8" },
  ]);
  editor.setHeaderSecret(0, false);
  expect(editor.draft.settings.websocket.headers[0]).toEqual({
    name: "X-New",
    value: "typed",
    secret: false,
  });
});

test("changes are seen in the draft and in the folder, and can be taken back", () => {
  const editor = new EditorDraft(start(), [], false);
  expect(editor.changed).toBe(false);
  editor.draft.endpoint.host = "other";
  expect(editor.changed).toBe(true);
  editor.draft.endpoint.host = exampleDraft().endpoint.host;
  expect(editor.changed).toBe(false);
});

test("a new connection is not scolded for fields nobody has reached", () => {
  const editor = new EditorDraft(start(), [], true);
  editor.report = {
    url: null,
    problems: [problem("endpoint.host", "error")],
    identity: null,
    authorities: [],
    revocation_lists: [],
    pinned: null,
  };
  expect(editor.at("endpoint.host").error).toBeNull();
  expect(editor.problems).toHaveLength(1);
  editor.visit("endpoint.host");
  expect(editor.at("endpoint.host").error).toBe("endpoint.host in English");
});

test("problems have a section each, errors before warnings", () => {
  expect(sectionOf("endpoint.port")).toBe("transport");
  expect(sectionOf("name")).toBe("transport");
  expect(sectionOf("settings.client_certificate.key_file")).toBe("authentication");
  expect(sectionOf("settings.websocket.headers.0.name")).toBe("advanced");
  expect(sectionOf("settings.subscriptions.0.filter")).toBe("session");
  const order = inOrder([
    problem("settings.trust.mode", "warning"),
    problem("settings.will.topic", "error"),
    problem("endpoint.host", "error"),
  ]).map(({ field }) => field);
  expect(order).toEqual(["endpoint.host", "settings.will.topic", "settings.trust.mode"]);
});

test("problems have words in Chinese by their code, also for the codes of a failure", () => {
  overwriteGetLocale(() => "zh");
  expect(problemText(problem("a", "error", "host_missing"))).toBe("缺少主机名或地址");
  expect(problemText(problem("a", "error", "files_swapped"))).toBe("证书文件与密钥文件填反了");
  expect(problemText(problem("a", "error", "nobody_knows"))).toBe("a in English");
  overwriteGetLocale(() => "en");
  expect(problemText(problem("a", "error", "host_missing"))).toBe("a in English");
});

const file = (change: Partial<FileReport>): FileReport => ({
  path: "/certs/file.pem",
  found: "",
  certificates: [],
  key_type: null,
  key_encrypted: false,
  bundle: false,
  revocation_lists: [],
  error: null,
  ...change,
});

test("dropped files are told apart by what is in them", () => {
  expect(droppedAs(file({ certificates: [certificate()] }))).toBe("certificate");
  expect(droppedAs(file({ certificates: [deviceCa, deviceCa] }))).toBe("authority");
  expect(droppedAs(file({ key_type: "ECDSA P-256" }))).toBe("key");
  expect(droppedAs(file({ key_encrypted: true }))).toBe("key");
  expect(droppedAs(file({ key_encrypted: true, bundle: true }))).toBe("certificate_and_key");
  expect(droppedAs(file({ certificates: [certificate()], key_type: "RSA 2048" }))).toBe(
    "certificate_and_key",
  );
  expect(droppedAs(file({}))).toBe("nothing");
});

test("a dropped file goes where it belongs and never touches the endpoint", () => {
  const draft = exampleDraft();
  draft.settings.client_certificate.enabled = false;
  draft.settings.trust.mode = "system";
  placeFile(draft, file({ path: "/certs/ca2.pem", certificates: [deviceCa] }));
  placeFile(draft, file({ path: "/certs/new.key", key_type: "Ed25519" }));
  expect(draft.settings.trust).toMatchObject({ mode: "system_and_ca" });
  expect(draft.settings.trust.ca_files).toContain("/certs/ca2.pem");
  expect(draft.settings.client_certificate).toMatchObject({ enabled: true, key_file: "/certs/new.key" });
  expect(draft.endpoint).toEqual(exampleDraft().endpoint);
});
