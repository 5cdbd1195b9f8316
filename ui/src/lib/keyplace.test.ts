import { expect, test } from "vitest";
import { changed, keyPlace, tokenKey, tokenUri } from "./keyplace";

test("a key file says where the key is", () => {
  expect(keyPlace("/etc/plant/client.key").kind).toBe("file");
  expect(keyPlace("").kind).toBe("file");
  expect(keyPlace("vault:6fb51b6e-6b1f-4f8a-9f2d-0d3b5f5e9a11").kind).toBe("vault");
  expect(keyPlace("vault:notes.pem").kind).toBe("file");
  expect(keyPlace("PKCS11:token=a?module-path=/m.so").kind).toBe("token");
});

test("URIs go there and back", () => {
  const key = {
    module: "/usr/lib/my module/p11.so",
    token: "Plant; north=1?",
    label: "Schlüssel & (50 %)",
    rest: ["serial=a1", "id=%00%FF"],
  };
  expect(tokenKey(tokenUri(key))).toEqual(key);
  expect(tokenUri({ module: "/m.so", token: "a b", label: "", rest: [] })).toBe(
    "pkcs11:token=a%20b?module-path=/m.so",
  );
});

test("what named the former token or key goes with it", () => {
  const key = tokenKey("pkcs11:token=a;object=b;serial=1;id=%01?module-path=/m.so");
  expect(changed(key, { label: "c" })).toMatchObject({ label: "c", rest: ["serial=1"] });
  expect(changed(key, { token: "c" })).toMatchObject({ token: "c", rest: [] });
  expect(changed(key, { module: "/n.so" }).rest).toEqual(["serial=1", "id=%01"]);
});
