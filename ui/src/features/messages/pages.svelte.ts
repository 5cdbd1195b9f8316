/**
 * The bytes of one payload that are on screen, whatever its size. In: which are looked at. Out: those that are there.
 * Asks for parts of 16 KiB, and keeps few of them.
 */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";

const BLOCK = 16 * 1024;
const KEPT = 32;

export class PayloadPages {
  #painted = $state(0);
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #loading = new Set<number>();
  /** Blocks that cannot be read: asked for again when they come back on screen. */
  readonly #unreadable = new Set<number>();

  constructor(
    readonly id: ProfileId,
    readonly seq: number,
    readonly size: number,
  ) {}

  /** Bytes of one block from an offset on, as far as they are there; null while they are not. */
  bytes(offset: number, length: number): Uint8Array | null {
    void this.#painted;
    const block = this.#blocks.get(Math.floor(offset / BLOCK));
    return block ? block.subarray(offset % BLOCK, (offset % BLOCK) + length) : null;
  }

  /** Whether the bytes at an offset could not be read when they were asked for last. */
  unreadable(offset: number): boolean {
    void this.#painted;
    return this.#unreadable.has(Math.floor(offset / BLOCK));
  }

  /** The bytes on screen: the first, and one past the last. */
  show(from: number, to: number): void {
    if (to <= from) return;
    const first = Math.floor(from / BLOCK);
    const last = Math.floor((to - 1) / BLOCK);
    for (let block = first; block <= last; block++) void this.#load(block);
    if (this.#blocks.size <= KEPT) return;
    for (const block of this.#blocks.keys()) {
      if (block < first - 8 || block > last + 8) this.#blocks.delete(block);
    }
  }

  async #load(block: number): Promise<void> {
    if (this.#blocks.has(block) || this.#loading.has(block) || block * BLOCK >= this.size) return;
    this.#loading.add(block);
    const bytes = await backend.messagePayload(this.id, this.seq, block * BLOCK, BLOCK).catch(() => null);
    this.#loading.delete(block);
    if (bytes) {
      this.#blocks.set(block, bytes);
      this.#unreadable.delete(block);
    } else this.#unreadable.add(block);
    this.#painted++;
  }
}
