/** The connections as rows of a tree, and where they go when they are moved. Pure. */
import type { Folder } from "$lib/backend/types/Folder";
import type { FolderId } from "$lib/backend/types/FolderId";
import type { LibraryTree } from "$lib/backend/types/LibraryTree";
import type { ProfileEntry } from "$lib/backend/types/ProfileEntry";
import type { ProfileId } from "$lib/backend/types/ProfileId";

export type TreeRow =
  | { kind: "folder"; key: string; folder: Folder; expanded: boolean; count: number }
  | { kind: "profile"; key: string; entry: ProfileEntry; level: 1 | 2 };

export const folderKey = (id: FolderId) => `f:${id}`;
export const profileKey = (id: ProfileId) => `p:${id}`;

/** Connections without a folder first, then folders. A filter unfolds what matches and hides the rest. */
export function rowsOf({ folders, profiles }: LibraryTree, filter = ""): TreeRow[] {
  const wanted = filter.trim().toLowerCase();
  const matches = (entry: ProfileEntry) => `${entry.name} ${entry.url}`.toLowerCase().includes(wanted);
  const rows: TreeRow[] = [];
  const add = (entry: ProfileEntry, level: 1 | 2) =>
    rows.push({ kind: "profile", key: profileKey(entry.id), entry, level });
  const known = new Set(folders.map(({ id }) => id));
  for (const entry of profiles) {
    if ((entry.folder === null || !known.has(entry.folder)) && matches(entry)) add(entry, 1);
  }
  for (const folder of folders) {
    const members = profiles.filter((entry) => entry.folder === folder.id);
    const shown = members.filter(matches);
    if (wanted && shown.length === 0 && !folder.name.toLowerCase().includes(wanted)) continue;
    const expanded = wanted ? shown.length > 0 : !folder.collapsed;
    rows.push({ kind: "folder", key: folderKey(folder.id), folder, expanded, count: members.length });
    if (expanded) for (const entry of shown) add(entry, 2);
  }
  return rows;
}

export interface Place {
  folder: FolderId | null;
  index: number;
}

/** One step up or down: inside its group, else into the neighbouring one. Null at the ends. */
export function stepProfile({ folders, profiles }: LibraryTree, id: ProfileId, step: 1 | -1): Place | null {
  const entry = profiles.find((other) => other.id === id);
  if (!entry) return null;
  const groups: (FolderId | null)[] = [null, ...folders.map((folder) => folder.id)];
  const members = (folder: FolderId | null) => profiles.filter((other) => other.folder === folder);
  const group = members(entry.folder);
  const index = group.indexOf(entry) + step;
  if (index >= 0 && index < group.length) return { folder: entry.folder, index };
  const next = groups.indexOf(entry.folder) + step;
  const folder = groups[next];
  if (folder === undefined) return null;
  return { folder, index: step === 1 ? 0 : members(folder).length };
}

export function stepFolder({ folders }: LibraryTree, id: FolderId, step: 1 | -1): number | null {
  const index = folders.findIndex((folder) => folder.id === id) + step;
  return index >= 0 && index < folders.length ? index : null;
}

/** Where a dragged row would land: which line to draw, and where it goes. */
export type Drop =
  { at: "before" | "after" | "inside"; key: string; place: Place } | { at: "end"; key: null; place: Place };

/**
 * What letting go over a row does. `fraction` is how far down the row the pointer is, 0 to 1; a null row is
 * the empty space below.
 */
export function dropOn(
  tree: LibraryTree,
  dragged: TreeRow,
  over: TreeRow | null,
  fraction: number,
): Drop | null {
  if (over?.key === dragged.key) return null;
  const half = fraction < 0.5 ? "before" : "after";
  if (dragged.kind === "folder") {
    if (over === null)
      return { at: "end", key: null, place: { folder: null, index: tree.folders.length - 1 } };
    const target = over.kind === "folder" ? over.folder.id : over.entry.folder;
    if (target === null) return null;
    if (target === dragged.folder.id) return null;
    const others = tree.folders.filter((folder) => folder.id !== dragged.folder.id);
    const at = over.kind === "folder" ? half : "after";
    const index = others.findIndex((folder) => folder.id === target) + (at === "after" ? 1 : 0);
    return { at, key: folderKey(target), place: { folder: null, index } };
  }
  const others = (folder: FolderId | null) =>
    tree.profiles.filter((entry) => entry.folder === folder && entry.id !== dragged.entry.id);
  if (over === null) return { at: "end", key: null, place: { folder: null, index: others(null).length } };
  if (over.kind === "folder") {
    const { id } = over.folder;
    return { at: "inside", key: over.key, place: { folder: id, index: others(id).length } };
  }
  const { folder, id } = over.entry;
  const index = others(folder).findIndex((entry) => entry.id === id) + (half === "after" ? 1 : 0);
  return { at: half, key: over.key, place: { folder, index } };
}

/** Two characters that stand for a name in the rail. */
export function initials(name: string): string {
  const words = name
    .trim()
    .split(/[\s\-_.]+/)
    .filter(Boolean);
  const letters =
    words.length > 1 ? [first(words[0]), first(words[1])] : Array.from(words[0] ?? "?").slice(0, 2);
  return letters.join("").toUpperCase();
}

function first(word: string | undefined): string {
  return Array.from(word ?? "")[0] ?? "";
}
