/** Orders, payments, sessions and the event log of the legacy shop. */
import type { SeedStep, ShopSize } from './legacy-shop';

export function fillSales({ users, products, orders, payments }: ShopSize): SeedStep[] {
  return [
    {
      label: 'orders',
      // Users were deleted by hand over the years: some orders are left without one.
      sql: `
INSERT INTO orders (order_id, user_id, status, channel, placed_at, changed, total, currency, shipping_note)
SELECT i, CASE WHEN i % 400 = 0 THEN 900000000 + i ELSE 1 + pg_temp.pick(i, 30, ${users}) END,
  CASE WHEN i % 1511 = 0 THEN '?' ELSE pg_temp.one_of(i, 31, ARRAY['N','P','S','S','S','S','C','X']) END,
  pg_temp.one_of(i, 32, ARRAY['web','web','web','phone','shop'])::order_channel,
  TIMESTAMPTZ '2012-01-01 00:00:00.123456+00' + i * interval '37 minutes' + pg_temp.pick(i, 33, 999999) * interval '1 microsecond',
  CASE WHEN i % 3 = 0 THEN TIMESTAMP '2012-01-02' + i * interval '37 minutes' END,
  (pg_temp.pick(i, 34, 250000) / 100.0)::numeric(14,2),
  CASE WHEN i % 20 = 0 THEN 'USD' ELSE 'EUR' END,
  CASE WHEN i % 9 = 0 THEN E'leave at\\tthe door\\n🚪 "thanks" \\\\o/' END
FROM generate_series(1, ${orders}) i;`,
    },
    {
      label: 'order lines',
      sql: `
INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_price, discount)
SELECT i, line, 1 + pg_temp.pick(i * 4 + line, 40, ${products}), 1 + pg_temp.pick(i, 41, 9), (pg_temp.pick(i + line, 42, 60000) / 100.0)::numeric(12,2), CASE WHEN i % 6 = 0 THEN 12.50 ELSE 0 END
FROM generate_series(1, ${orders}) i, generate_series(1, 1 + pg_temp.pick(i, 43, 4)) line;`,
    },
    {
      label: 'payments',
      sql: `
INSERT INTO payments (payment_id, order_id, amount, reference, paid_at, response, receipt)
SELECT 9223372036854775807 - i * 3, 1 + pg_temp.pick(i, 50, ${orders}),
  CASE WHEN i % 50 = 0 THEN 1234567890123456789012345678.0123456789 - i ELSE pg_temp.pick(i, 51, 9999999) / 7.0 END,
  CASE i % 3 WHEN 0 THEN n.id WHEN 1 THEN upper(n.id) ELSE '{' || replace(n.id, '-', '') || '}' END,
  CASE WHEN i % 41 = 0 THEN NULL ELSE TIMESTAMPTZ '2012-01-03 10:00:00+00' + i * interval '111 minutes' END,
  CASE WHEN i % 601 = 0 THEN '{"state": "paid", "tries": ' WHEN i % 5 = 0 THEN NULL ELSE format('{"state": "paid", "tries": %s, "big": 12345678901234567890}', i % 4) END,
  CASE WHEN i % 4 = 0 THEN decode(md5(i::text) || '00ff5c0a', 'hex') END
FROM generate_series(1, ${payments}) i CROSS JOIN LATERAL (SELECT md5('payment' || i)::uuid::text AS id) n;`,
    },
  ];
}

export function fillHistory({ users, events, sessions }: ShopSize): SeedStep[] {
  return [
    {
      label: 'sessions',
      sql: `
INSERT INTO sessions (token, user_id, ip, started, state)
SELECT md5('session' || i) || md5('token' || i), CASE WHEN i % 10 <> 0 THEN 1 + pg_temp.pick(i, 60, ${users}) END,
  ('10.' || i % 200 || '.' || i % 99 || '.' || i % 250)::inet, TIMESTAMPTZ '2026-01-01' + i * interval '17 seconds',
  CASE WHEN i % 6 = 0 THEN 'expired' ELSE 'open' END
FROM generate_series(1, ${sessions}) i;`,
    },
    {
      label: 'events',
      sql: `
INSERT INTO audit.events (happened, actor, event, detail)
SELECT TIMESTAMP '2020-05-01 00:00:00.5' + (i - (i % 70 = 1)::int) * interval '31 seconds', CASE WHEN n.k % 8 <> 0 THEN 'user' || pg_temp.pick(n.k, 70, 500) END,
  pg_temp.one_of(n.k, 71, ARRAY['login','logout','price change','import']), CASE WHEN n.k % 4 = 0 THEN E'line one\\nline\\ttwo \\\\N 🧾 ' || n.k END
FROM generate_series(1, ${events}) i CROSS JOIN LATERAL (SELECT i - (i % 70 = 1)::int AS k) n;`,
    },
  ];
}
