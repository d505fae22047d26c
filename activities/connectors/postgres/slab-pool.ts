/**
 * Large buffers for batches, used again and again. Fresh ones cost page faults and garbage collections that together are dearer than all
 * the stages. A slab belongs to whoever took it until it is given back; one that is never given back is simply collected.
 */
const SLAB_BYTES_MIN = 64 * 1024;
/** Larger ones are rare, and not worth keeping. */
const SLAB_BYTES_MAX = 16 * 1024 * 1024;
const IDLE_BYTES_MAX = 96 * 1024 * 1024;

const idle = new Map<number, Buffer[]>();
/** Slabs that are out: only those may come back, and each only once. */
const out = new WeakSet<ArrayBufferLike>();
let idleBytes = 0;

/** A buffer of at least `bytes`; its content is undefined. */
export function takeSlab(bytes: number): Buffer {
  if (bytes > SLAB_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
  let size = SLAB_BYTES_MIN;
  while (size < bytes) size *= 2;
  const reused = idle.get(size)?.pop();
  const slab = reused ?? Buffer.allocUnsafeSlow(size);
  if (reused) idleBytes -= size;
  out.add(slab.buffer);
  return slab;
}

/** Gives back the slab under `view`. The caller and everybody it told must not touch it any more. Buffers that are no slabs are left alone. */
export function giveSlab(view: Buffer): void {
  const { buffer } = view;
  if (!out.delete(buffer) || idleBytes + buffer.byteLength > IDLE_BYTES_MAX) return;
  const shelf = idle.get(buffer.byteLength);
  const slab = Buffer.from(buffer);
  if (shelf) shelf.push(slab);
  else idle.set(buffer.byteLength, [slab]);
  idleBytes += slab.length;
}
