/** The attributes that make `TooltipHost` show a tooltip. `keys` as in `Mod+K`. */
export function tip(text: string | undefined, keys?: string): Record<string, string | undefined> {
  return { "data-tip": text || undefined, "data-tip-keys": text ? keys : undefined };
}
