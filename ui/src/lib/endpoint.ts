/**
 * How an endpoint's parts read as a URL, for showing it while it is typed. Reading URLs is the engine's work
 * (`backend.parseEndpoint`); nothing here decides what is valid.
 */
import type { EndpointParts } from "$lib/backend/types/EndpointParts";
import type { Scheme } from "$lib/backend/types/Scheme";

const USUAL_PORTS: Record<Scheme, number> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

/** A function of the two switches and of nothing else. */
export function schemeOf({ websocket, tls }: Pick<EndpointParts, "websocket" | "tls">): Scheme {
  if (websocket) return tls ? "wss" : "ws";
  return tls ? "mqtts" : "mqtt";
}

export function switchesOf(scheme: Scheme): Pick<EndpointParts, "websocket" | "tls"> {
  return { websocket: scheme === "ws" || scheme === "wss", tls: scheme === "mqtts" || scheme === "wss" };
}

/** The port that is used when none is typed. */
export function usualPort(scheme: Scheme): number {
  return USUAL_PORTS[scheme];
}

/** The URL in the pieces that are coloured one by one. */
export interface UrlPieces {
  base: "mqtt" | "ws";
  secure: boolean;
  host: string;
  port: string;
  /** Empty without WebSocket. */
  path: string;
}

export function urlPieces(endpoint: EndpointParts): UrlPieces {
  const host = endpoint.host.trim();
  const path = endpoint.path.trim() || "/mqtt";
  return {
    base: endpoint.websocket ? "ws" : "mqtt",
    secure: endpoint.tls,
    host: host.includes(":") && !host.startsWith("[") ? `[${host}]` : host,
    port: endpoint.port.trim() || String(usualPort(schemeOf(endpoint))),
    path: endpoint.websocket ? (path.startsWith("/") ? path : `/${path}`) : "",
  };
}

export function urlText(endpoint: EndpointParts): string {
  const { base, secure, host, port, path } = urlPieces(endpoint);
  return `${base}${secure ? "s" : ""}://${host}:${port}${path}`;
}

/** The password in a text that was meant as a URL, whether or not it is one; digits before a path are a port. */
export function passwordIn(text: string): string | null {
  return /^\s*[a-z0-9+]+:\/\/[^/@:]*:(?!\d+[/?#])(.+)@/i.exec(text)?.[1] ?? null;
}
