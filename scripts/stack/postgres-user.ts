import path from 'node:path';
import { ask } from './program-lookup';

/** How PostgreSQL's programs are run: it refuses to work as root. */
export interface PostgresUser {
  /** Put before every command. */
  prefix: string[];
  uid?: number;
  gid?: number;
  /** For people; empty when nothing is special. */
  how: string;
}

const asMyself: PostgresUser = { prefix: [], how: '' };
/** The user `nobody` exists everywhere with this number on Linux; inside a user namespace it needs no rights of its own. */
const nobody = '65534';

/**
 * As an ordinary user: plainly. As root: in a user namespace where we are `nobody`, which needs no change of owners and
 * reads binaries below a closed home folder; where namespaces are forbidden, as the real `nobody`.
 */
export async function findPostgresUser(binaries: string, isRoot = process.getuid?.() === 0): Promise<PostgresUser | { reason: string; remedy: string }> {
  if (!isRoot) return asMyself;
  const program = path.join(binaries, 'postgres');
  return (await inNamespace(program)) ?? (await asNobody(program)) ?? {
    reason: `PostgreSQL does not run as root, and here neither a user namespace nor the user nobody can run ${program}`,
    remedy: 'run this as an ordinary user, or put the project in a folder that every user may enter',
  };
}

async function inNamespace(program: string): Promise<PostgresUser | undefined> {
  if (process.platform !== 'linux') return undefined;
  const prefix = ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${nobody}`, '--'];
  const [unshare = '', ...args] = prefix;
  const answer = await ask(unshare, [...args, program, '--version']);
  return answer.ok ? { prefix, how: ' (as nobody in a user namespace)' } : undefined;
}

/** Exported for its test: it is reached only where namespaces are forbidden. */
export async function asNobody(program: string): Promise<PostgresUser | undefined> {
  const [uid, gid] = [await ask('id', ['-u', 'nobody']), await ask('id', ['-g', 'nobody'])];
  if (!uid.ok || !gid.ok) return undefined;
  const user = { uid: Number(uid.output), gid: Number(gid.output) };
  const answer = await ask(program, ['--version'], { ...user, cwd: '/' });
  return answer.ok ? { prefix: [], ...user, how: ' (as the user nobody)' } : undefined;
}
