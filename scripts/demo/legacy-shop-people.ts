/** Catalogue, users and addresses of the legacy shop. */
import type { SeedStep, ShopSize } from './legacy-shop';

const GIVEN = `ARRAY['Anna','Jürgen','Zoë','Søren','Łukasz','Maria José','Aisha','Tom','Иван','Mehmet','Chloé','Kai']`;
const FAMILY = `ARRAY['Schmidt','O''Brien','Müller','van der Berg','Nowak','García','Öztürk','Smith','Петров','Andersen','Lefèvre','"Mac" Donald']`;
const PLAIN_GIVEN = `ARRAY['anna','juergen','zoe','soeren','lukasz','maria','aisha','tom','ivan','mehmet','chloe','kai']`;
const PLAIN_FAMILY = `ARRAY['schmidt','obrien','mueller','vanderberg','nowak','garcia','oeztuerk','smith','petrov','andersen','lefevre','macdonald']`;

export function fillCatalogue({ products }: ShopSize): SeedStep[] {
  const categories = Math.max(12, Math.round(products / 40));
  return [
    {
      label: 'categories',
      sql: `INSERT INTO categories SELECT i, CASE WHEN i > 8 THEN 1 + (i - 9) / 6 END, format('Category %s', i), (i % 50)::smallint FROM generate_series(1, ${categories}) i;`,
    },
    {
      label: 'products',
      sql: `
INSERT INTO products (product_id, sku, name, category_id, price, attributes, tags, weight_kg, added_on)
SELECT i, format('SKU-%s-%s', lpad(i::text, 6, '0'), chr(65 + i % 26)),
  pg_temp.one_of(i, 1, ARRAY['Lamp','Chair','Teapot ☕','Bücherregal','Cable 1"','Rain coat']) || ' ' || i,
  CASE WHEN i % 37 <> 0 THEN 1 + pg_temp.pick(i, 2, ${categories}) END,
  (pg_temp.pick(i, 3, 99999) / 100.0)::numeric(12,2),
  CASE WHEN i % 11 <> 0 THEN jsonb_build_object('colour', pg_temp.one_of(i, 4, ARRAY['red','blau','żółty']), 'size', jsonb_build_array(i % 90, i % 40), 'ean', 4000000000000 + i::bigint, 'ratio', 0.1 * (i % 7)) END,
  CASE WHEN i % 3 = 0 THEN ARRAY['sale', 'a,b', 'quote "x"'] ELSE '{}' END,
  CASE WHEN i % 19 <> 0 THEN pg_temp.pick(i, 5, 40000) / 1000.0 END,
  DATE '2009-01-01' + pg_temp.pick(i, 6, 5500)
FROM generate_series(1, ${products}) i;`,
    },
  ];
}

export function fillAccounts({ users, addresses }: ShopSize): SeedStep[] {
  return [
    {
      label: 'users',
      // Addresses of the wrong form, missing and repeated ones (the same but for case and blanks); dates in four formats and some that are none.
      sql: `
INSERT INTO users (user_id, username, email, full_name, created, birth_date, active, newsletter, phone, credit_limit, tax_no, notes, legacy_flags)
SELECT i,
  CASE WHEN i % 5 = 0 THEN '  ' ELSE '' END || n.plain || i,
  CASE
    WHEN i % 211 = 0 THEN NULL
    WHEN i % 173 = 0 THEN pg_temp.one_of(i, 10, ARRAY[n.plain || '(at)example.com', n.plain || '@', 'two words@example.com', '@example.com', n.plain || '@example..com'])
    WHEN i % 307 = 1 AND i > 307 THEN upper(p.plain || (i - 1) || '@example.com')
    WHEN i % 23 = 0 THEN ' ' || initcap(n.plain) || i || '@Example.com '
    ELSE n.plain || i || '@example.com'
  END,
  CASE WHEN i % 89 = 0 THEN n.given ELSE n.given || ' ' || n.family END,
  CASE
    WHEN i % 997 = 0 THEN NULL
    WHEN i % 499 = 0 THEN pg_temp.one_of(i, 11, ARRAY['0000-00-00 00:00:00', 'unknown', '31.02.2014 10:00'])
    WHEN i % 10 < 6 THEN to_char(n.joined, 'YYYY-MM-DD HH24:MI:SS')
    WHEN i % 10 < 8 THEN to_char(n.joined, 'DD.MM.YYYY HH24:MI')
    WHEN i % 10 = 8 THEN to_char(n.joined, 'MM/DD/YYYY')
    ELSE extract(epoch FROM n.joined)::bigint::text
  END,
  CASE WHEN i % 1999 = 0 THEN DATE '0001-01-01' WHEN i % 6 = 0 THEN NULL ELSE DATE '1940-01-01' + pg_temp.pick(i, 12, 23000) END,
  CASE WHEN i % 701 = 0 THEN NULL WHEN i % 7 = 0 THEN 'N' WHEN i % 13 = 0 THEN 'J' ELSE 'Y' END,
  (i % 2)::smallint,
  CASE WHEN i % 17 = 0 THEN 'n/a' WHEN i % 29 = 0 THEN '' ELSE format('+49 (0)30 %s', 1000000 + pg_temp.pick(i, 13, 8999999)) END,
  CASE WHEN i % 4 = 0 THEN NULL ELSE format('%s.%s,%s', 1 + i % 9, lpad((i % 1000)::text, 3, '0'), lpad((i % 100)::text, 2, '0')) END,
  'DE' || lpad(pg_temp.pick(i, 14, 999999999)::text, 9, '0'),
  CASE i % 8
    WHEN 0 THEN E'called twice\\tthen\\nwrote: "where is it?" \\\\ see #' || i
    WHEN 1 THEN 'likes 🎉 and 日本語, naïve café ☕'
    WHEN 2 THEN E'it''s; a, "quoted" | note\\r\\n  with blanks at the end   '
    WHEN 3 THEN ''
    ELSE NULL
  END,
  i % 64
FROM generate_series(1, ${users}) i
CROSS JOIN LATERAL (SELECT
  pg_temp.one_of(i, 15, ${PLAIN_GIVEN}) || '.' || pg_temp.one_of(i, 16, ${PLAIN_FAMILY}) AS plain,
  pg_temp.one_of(i, 15, ${GIVEN}) AS given, pg_temp.one_of(i, 16, ${FAMILY}) AS family,
  TIMESTAMP '2009-03-01 04:00' + pg_temp.pick(i, 17, 5600) * interval '1 day' + pg_temp.pick(i, 18, 70000) * interval '1 second' AS joined) n
CROSS JOIN LATERAL (SELECT pg_temp.one_of(i - 1, 15, ${PLAIN_GIVEN}) || '.' || pg_temp.one_of(i - 1, 16, ${PLAIN_FAMILY}) AS plain) p;`,
    },
    {
      label: 'addresses',
      sql: `
INSERT INTO addresses (address_id, user_id, street, zip, city, country, label)
SELECT i, 1 + pg_temp.pick(i, 20, ${users}), pg_temp.one_of(i, 21, ARRAY['Hauptstraße','Rue de l''Église','High St.','Plaza Mayor']) || ' ' || (1 + i % 200),
  lpad(pg_temp.pick(i, 22, 99999)::text, 5, '0'), pg_temp.one_of(i, 23, ARRAY['Berlin','Paris','London','Kraków','München','São Paulo']),
  CASE WHEN i % 997 = 0 THEN '??' ELSE pg_temp.one_of(i, 24, ARRAY['DE','FR','GB','PL','AT']) END,
  CASE WHEN i % 2 = 0 THEN pg_temp.one_of(i, 25, ARRAY['home','work',E'gate\\tcode\\n4711']) END
FROM generate_series(1, ${addresses}) i;`,
    },
  ];
}
