/** Workload W2 `contacts`: a table of mixed types. 10 columns, about 193 bytes of text a row. */
export const CREATE_SOURCE = `
CREATE TABLE contacts (id bigint PRIMARY KEY, account int NOT NULL, email text NOT NULL, name text NOT NULL, balance numeric(12,2), active boolean,
  created timestamp, seen timestamptz, note text, country char(2))`;

export const fillSource = (rows: number): string => `
INSERT INTO contacts SELECT g, g % 100000, 'user' || g || '@mail' || g % 1000 || '.example.org', 'First' || g % 5000 || ' Last' || g % 70000, (g % 1000000) / 100.0, g % 3 = 0,
  timestamp '2015-01-01' + g * interval '37 seconds', timestamptz '2020-01-01+00' + g * interval '11 seconds 123 milliseconds',
  CASE WHEN g % 4 = 0 THEN NULL WHEN g % 10 = 1 THEN E'line one\\nline two\\twith a tab and some more words to fill it' ELSE 'a note of ordinary length about this contact, nothing special' END,
  (ARRAY['DE','FR','US','IT','GB'])[1 + g % 5]
FROM generate_series(1, ${rows}) g`;

export const CREATE_PEER_TARGET = CREATE_SOURCE.replace(' PRIMARY KEY', '');

/** The new schema: one column renamed, one turned from local time into an instant. */
export const CREATE_TARGET = `
CREATE TABLE contacts (id bigint PRIMARY KEY, account int NOT NULL, email text NOT NULL, full_name text NOT NULL, balance numeric(12,2), active boolean,
  created_at timestamptz, seen timestamptz, note text, country char(2))`;

export const PLAN = {
  migration: 'bench',
  batch: { parallel_workers: 2, batch_size: 10_000, checkpoint_interval: 50_000 },
  datasets: {
    contacts: {
      source: { connection: 'legacy' },
      target: { connection: 'new' },
      transformations: [
        { old_field: 'name', new_field: 'full_name' },
        { old_field: 'created', new_field: 'created_at', transform: 'to_iso_datetime' },
      ],
      validation: { required: ['id', 'email'], formats: { email: 'email' } },
    },
  },
};
