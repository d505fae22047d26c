import { FULL_SHOP, legacyShop, SMALL_SHOP } from '../../scripts/demo/legacy-shop';

const text = (steps: ReturnType<typeof legacyShop>): string => steps.map((step) => step.sql).join('\n');

test('the legacy shop is about a million rows, the small one a hundredth', () => {
  const rows = (size: typeof FULL_SHOP): number => Object.values(size).reduce((sum, count) => sum + count, 0) + size.orders * 2.5;
  expect(rows(FULL_SHOP)).toBeGreaterThan(950_000);
  expect(rows(FULL_SHOP)).toBeLessThan(1_100_000);
  expect(rows(SMALL_SHOP)).toBeCloseTo(rows(FULL_SHOP) / 100, -2);
});

test('the same size gives the same rows: nothing in the SQL depends on chance or the clock', () => {
  expect(legacyShop(SMALL_SHOP)).toEqual(legacyShop(SMALL_SHOP));
  expect(text(legacyShop(FULL_SHOP))).not.toMatch(/random\s*\(|now\s*\(|clock_timestamp|current_timestamp|gen_random_uuid/i);
});
