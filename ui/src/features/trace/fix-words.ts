/** A fix in words: what it is called, what follows from it, what its button says. Pure. */
import type { FailureCode } from "$lib/backend/types/FailureCode";
import type { Fix } from "$lib/backend/types/Fix";
import { versionName } from "$lib/mqtt/words";
import { m } from "$messages";

export interface FixWords {
  title: string;
  detail: string;
  button: string;
}

/** What else decides the words. */
interface About {
  /** The fix asks for secrets of user names and headers that are there already. */
  retype?: boolean;
  /** What it is to fix. */
  code?: FailureCode;
}

export function fixWords(fix: Fix, scheme: string, { retype = false, code }: About = {}): FixWords {
  switch (fix.kind) {
    case "set_transport": {
      const to = fix.change.transport;
      const secure = to === "mqtts" || to === "wss";
      return {
        title: m.fix_transport_title({ scheme: to }),
        detail: secure ? m.fix_transport_keeps() : `${m.fix_transport_keeps()} ${m.fix_transport_plain()}`,
        button: m.fix_transport_button({ scheme: to }),
      };
    }
    case "set_port":
      return {
        title:
          fix.change.port === undefined
            ? m.fix_port_open_title()
            : m.fix_port_title({ port: fix.change.port }),
        detail: "",
        button: m.fix_port_button(),
      };
    case "set_path":
      return { title: m.fix_path_title({ path: fix.change.path }), detail: "", button: m.fix_path_button() };
    case "add_trust":
      return trustWords(fix);
    case "choose_identity":
      if (fix.change.swap) return { title: m.fix_swap_title(), detail: "", button: m.fix_swap_button() };
      if (fix.change.disable) {
        const detail = m.fix_disable_detail({ scheme });
        return { title: m.fix_disable_title(), detail, button: m.fix_disable_button() };
      }
      return {
        title: identityTitle(code),
        detail: m.fix_identity_detail(),
        button: m.fix_identity_button(),
      };
    case "enter_passphrase":
      return {
        title: m.fix_passphrase_title(),
        detail: retype ? "" : m.fix_passphrase_detail(),
        button: m.fix_passphrase_button(),
      };
    case "set_version": {
      const version = versionName(fix.change.version);
      return {
        title: m.fix_version_title({ version }),
        detail: "",
        button: m.fix_version_button({ version }),
      };
    }
    case "set_credentials": {
      const titles = {
        broker: m.fix_credentials_broker_title,
        proxy: m.fix_credentials_proxy_title,
        http: m.fix_credentials_http_title,
        token: m.fix_credentials_token_title,
      };
      const again = {
        broker: m.fix_retype_broker_title,
        proxy: m.fix_retype_proxy_title,
        http: m.fix_retype_http_title,
        token: m.fix_retype_token_title,
      };
      const title = (retype ? again : titles)[fix.change.target]();
      return { title, detail: "", button: m.fix_credentials_button() };
    }
    case "set_server":
      return {
        title: fix.change.server
          ? m.fix_server_title({ server: fix.change.server })
          : m.fix_server_open_title(),
        detail: "",
        button: m.fix_server_button(),
      };
    case "set_client_id":
      return {
        title: m.fix_client_id_title({ id: fix.change.client_id }),
        detail: "",
        button: m.fix_apply_button(),
      };
    case "set_keep_alive":
      return {
        title: m.fix_keep_alive_title({ seconds: fix.change.keep_alive_s }),
        detail: "",
        button: m.fix_apply_button(),
      };
    case "set_maximum_packet_size":
      return {
        title: m.fix_packet_size_title({ bytes: fix.change.bytes }),
        detail: "",
        button: m.fix_apply_button(),
      };
    case "probe_port":
      return { title: m.fix_probe_title(), detail: m.fix_probe_detail(), button: m.fix_probe_button() };
    case "retry":
      return { title: m.fix_retry_title(), detail: "", button: m.fix_retry_button() };
  }
}

/** Which certificate to choose: one without the fault of the present one. */
function identityTitle(code: FailureCode | undefined): string {
  switch (code) {
    case "client_cert_required":
    case "ws_unauthorized":
    case "ws_forbidden":
      return m.fix_identity_some_title();
    case "client_cert_chain_incomplete":
      return m.fix_identity_chain_title();
    case "client_cert_expired":
      return m.fix_identity_valid_title();
    case "client_cert_wrong_purpose":
      return m.fix_identity_purpose_title();
    default:
      return m.fix_identity_title();
  }
}

function trustWords(fix: Extract<Fix, { kind: "add_trust" }>): FixWords {
  const button = m.fix_trust_button();
  if (fix.change.verify_host_name === false) {
    return { title: m.fix_name_title(), detail: m.fix_name_detail(), button };
  }
  switch (fix.change.mode) {
    case "pinned":
      return { title: m.fix_pin_title(), detail: m.fix_pin_detail(), button: m.fix_pin_button() };
    case "ca_only":
    case "system_and_ca":
      return { title: m.fix_ca_title(), detail: m.fix_ca_detail(), button: m.fix_ca_button() };
    case "insecure":
      return { title: m.fix_insecure_title(), detail: m.fix_insecure_detail(), button };
    case "system":
      return { title: m.fix_system_title(), detail: "", button };
  }
}
