import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

interface Service {
  image?: string; build?: string; ports?: string[]; volumes?: string[]; profiles?: string[]; entrypoint?: string[];
  environment?: Record<string, string>; healthcheck?: { test: string[] }; depends_on?: Record<string, { condition: string }>;
}

const ROOT = join(__dirname, '../..');
const compose = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as { services: Record<string, Service>; volumes: Record<string, unknown> };
const services = Object.entries(compose.services);
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');

test('images are pinned or built here', () => {
  for (const [name, { image, build }] of services) {
    if (build === undefined) expect({ name, image }).toEqual({ name, image: expect.stringMatching(/^[\w./-]+:\d[\w.-]*$/) as string });
    else expect(image).toBe('caravan:local');
  }
});

test('the servers are the real ones, PostgreSQL twice with logical decoding', () => {
  expect(compose.services['temporal']?.image).toMatch(/^temporalio\/temporal:/);
  for (const name of ['legacy-db', 'new-db']) {
    expect(compose.services[name]).toMatchObject({ image: expect.stringMatching(/^postgres:18/) as string, command: expect.arrayContaining(['wal_level=logical']) as string[] });
  }
});

test('every port is published on the loopback address only', () => {
  const ports = services.flatMap(([, service]) => service.ports ?? []);
  expect(ports).not.toHaveLength(0);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\$\{\w+:-\d+\}:\d+$/);
});

test('whatever is waited for exists and has a health check', () => {
  for (const [name, { depends_on: waits = {} }] of services) {
    for (const [other, { condition }] of Object.entries(waits)) {
      expect({ name, other, condition, checked: compose.services[other]?.healthcheck !== undefined }).toEqual({ name, other, condition: 'service_healthy', checked: true });
    }
  }
  for (const [name, { healthcheck, profiles }] of services) if (!profiles) expect({ name, test: healthcheck?.test[0] }).toEqual({ name, test: 'CMD' });
});

test('named volumes are declared, and used', () => {
  const mounted = services.flatMap(([, service]) => service.volumes ?? []).map((volume) => volume.replace(/\$\{[^}]*\}/, './').split(':')[0] ?? '').filter((source) => !source.startsWith('.'));
  expect([...new Set(mounted)].sort()).toEqual(Object.keys(compose.volumes).sort());
});

test('passwords come from the environment, with defaults that say what they are for', () => {
  for (const [name, { environment = {} }] of services) {
    for (const [variable, value] of Object.entries(environment)) {
      if (/PASSWORD/.test(variable) || /^postgres:/.test(value)) expect({ name, value }).toEqual({ name, value: expect.stringMatching(/\$\{\w+_PASSWORD:-\w+-local-only\}/) as string });
    }
  }
});

test('the image is glibc, runs as an ordinary user, and copies only what exists and is let in', () => {
  expect(dockerfile).toMatch(/^FROM node:20-bookworm-slim/m);
  expect(dockerfile).toMatch(/^USER node$/m);
  const let_in = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) => (match[1] ?? '').split(' '));
  expect(copied).not.toHaveLength(0);
  for (const source of copied) expect({ source, exists: existsSync(join(ROOT, source)), let_in: let_in.includes(source) }).toEqual({ source, exists: true, let_in: true });
});

test('what the containers start exists', () => {
  const started = [...services.flatMap(([, { entrypoint = [], healthcheck }]) => [...entrypoint, ...(healthcheck?.test ?? [])]), ...dockerfile.matchAll(/"([^"]+)"/g)].map((word) => (typeof word === 'string' ? word : (word[1] ?? '')));
  const files = started.filter((word) => /^scripts\//.test(word));
  expect(files).not.toHaveLength(0);
  for (const file of files) expect({ file, exists: existsSync(join(ROOT, file)) }).toEqual({ file, exists: true });
});
