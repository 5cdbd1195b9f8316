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

/** Where a dragged row would land: the row that the line is drawn at, or that is marked, and where it goes. */
export interface Drop {
  at: "before" | "after" | "inside";
  key: string;
  place: Place;
  /** It leaves its folder for the loose connections, from below all of them. */
  out?: boolean;
}

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
  return dragged.kind === "folder"
    ? folderOn(tree, dragged.folder.id, over, fraction)
    : profileOn(tree, dragged.entry.id, over, fraction);
}

function folderOn(tree: LibraryTree, dragged: FolderId, over: TreeRow | null, fraction: number): Drop | null {
  const others = tree.folders.filter((folder) => folder.id !== dragged);
  const target = over?.kind === "folder" ? over.folder.id : over?.entry.folder;
  if (target === dragged) return null;
  const at = over === null ? others.length - 1 : others.findIndex((folder) => folder.id === target);
  const next = others[Math.max(at, 0)];
  if (!next) return null;
  // Loose connections stay above all folders.
  const before = at < 0 || (over?.kind === "folder" && fraction < 0.5);
  return before
    ? { at: "before", key: folderKey(next.id), place: { folder: null, index: Math.max(at, 0) } }
    : { at: "after", key: lastRowOf(tree, next), place: { folder: null, index: at + 1 } };
}

function profileOn(tree: LibraryTree, dragged: ProfileId, over: TreeRow | null, fraction: number): Drop {
  const others = (folder: FolderId | null) =>
    tree.profiles.filter((entry) => entry.folder === folder && entry.id !== dragged);
  const [first] = tree.folders;
  const isAboveFolders = over?.kind === "folder" && over.folder.id === first?.id && fraction < 0.25;
  if (over === null || isAboveFolders) {
    const loose = others(null);
    const place = { folder: null, index: loose.length };
    const out = over === null;
    if (first) return { at: "before", key: folderKey(first.id), place, out };
    return { at: "after", key: profileKey(loose.at(-1)?.id ?? dragged), place, out };
  }
  if (over.kind === "folder") {
    const { id } = over.folder;
    return { at: "inside", key: over.key, place: { folder: id, index: others(id).length } };
  }
  const { folder, id } = over.entry;
  const at = fraction < 0.5 ? "before" : "after";
  const index = others(folder).findIndex((entry) => entry.id === id) + (at === "after" ? 1 : 0);
  return { at, key: over.key, place: { folder, index } };
}

/** The lowest row that a folder shows. */
function lastRowOf({ profiles }: LibraryTree, { id, collapsed }: Folder): string {
  const last = collapsed ? undefined : profiles.filter((entry) => entry.folder === id).at(-1);
  return last ? profileKey(last.id) : folderKey(id);
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
