/** Below it, single precision has fewer than the usual six sure digits. */
const SINGLE_NORMAL_MIN = 2 ** -126;

const singleBits = new DataView(new ArrayBuffer(4));

/** The next single precision number away from zero (`step` 1) or towards it (-1), for finite positive ones. */
function neighbour(single: number, step: 1 | -1): number {
  singleBits.setFloat32(0, single);
  singleBits.setInt32(0, singleBits.getInt32(0) + step);
  return singleBits.getFloat32(0);
}

/**
 * The double that the server's text of this float4 gives: fewest digits strictly between the midpoints to its neighbours, then nearest, then even
 * (as Ryu does it in the server, src/common/f2s.c).
 */
export function shortestSingle(single: number): number {
  if (!Number.isFinite(single) || (Number.isInteger(single) && Math.abs(single) < 2 ** 24)) return single;
  const size = Math.abs(single);
  const below = (size + neighbour(size, -1)) / 2;
  const next = neighbour(size, 1);
  const above = Number.isFinite(next) ? (size + next) / 2 : 2 * size - below;
  for (let digits = size < SINGLE_NORMAL_MIN ? 1 : 6; digits <= 9; digits += 1) {
    const [mantissa = '', exponent = ''] = size.toExponential(digits - 1).split('e');
    const nearest = Number(mantissa.replace('.', ''));
    const scale = Number(exponent) - digits + 1;
    let best: number | null = null;
    for (const candidate of nearest % 2 === 0 ? [nearest, nearest - 1, nearest + 1] : [nearest - 1, nearest + 1, nearest]) {
      const value = Number(`${candidate}e${scale}`);
      // The double's own rounding must not decide a tie: the even digit, which comes first, does.
      if (value > below && value < above && (best === null || Math.abs(value - size) < Math.abs(best - size) * 0.999_999)) best = value;
    }
    if (best !== null) return single < 0 ? -best : best;
  }
  return single;
}

/** Whether single precision keeps this double: exactly, or as the digits that stand for it. */
export function fitsSingle(value: number): boolean {
  const single = Math.fround(value);
  return Number.isNaN(value) || single === value || shortestSingle(single) === value;
}
