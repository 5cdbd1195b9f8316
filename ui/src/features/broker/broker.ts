/** The local broker from the window's side. In: its listeners. Out: saved connections that fit them. */
import { backend } from "$lib/backend";
import type { BrokerOptions } from "$lib/backend/types/BrokerOptions";
import type { BrokerStatus } from "$lib/backend/types/BrokerStatus";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import { connect, withVault } from "$lib/connections";
import { attempt } from "$lib/report";
import { engine } from "$lib/state/engine.svelte";
import { navigation } from "$lib/state/navigation.svelte";
import { m } from "$messages";

export const USUAL: BrokerOptions = {
  ports: { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 },
  require_client_certificate: false,
  username: "",
};

export async function startBroker(options: BrokerOptions, password: string | null): Promise<void> {
  const status = await attempt(withVault(null, () => backend.startBroker(options, password)));
  if (!status) return;
  engine.broker = status;
}

export async function stopBroker(): Promise<void> {
  const status = await attempt(backend.stopBroker());
  if (status) engine.broker = status;
}

/** A draft for one listener: its URL, the broker's own CA and client certificate with TLS, its user name. */
export function draftFor(
  base: ProfileDraft,
  endpoint: ProfileDraft["endpoint"],
  broker: BrokerStatus,
): ProfileDraft {
  const draft: ProfileDraft = { ...base, endpoint, settings: { ...base.settings } };
  if (endpoint.tls && broker.files) {
    const { ca, client_cert, client_key } = broker.files;
    draft.settings.trust = { ...draft.settings.trust, mode: "ca_only", ca_files: [ca] };
    draft.settings.client_certificate = { enabled: true, cert_file: client_cert, key_file: client_key };
  }
  if (broker.options.username) draft.settings.login = { enabled: true, username: broker.options.username };
  return draft;
}

/** Connects to a listener with the connection that has this URL already, else with a new one. */
export async function connectToListener(url: string): Promise<void> {
  const known = engine.tree.profiles.find((entry) => entry.url === url);
  const id = known?.id ?? (await attempt(saveListener(url)));
  if (!id) return;
  await engine.refreshTree();
  navigation.select(id);
  await connect(id);
}

async function saveListener(url: string): Promise<string> {
  const [base, broker] = await Promise.all([backend.newDraft(), backend.brokerStatus()]);
  const { endpoint } = await backend.parseEndpoint(url, "mqtt");
  const scheme = url.slice(0, url.indexOf(":"));
  const draft = draftFor({ ...base, name: m.broker_connection_name({ scheme }) }, endpoint, broker);
  const { id } = await backend.saveProfile(draft, null, []);
  if (broker.options.username) await withVault(id, () => backend.lendBrokerPassword(id));
  return id;
}
