import { UsageError } from './exit-codes';
import { runSession, type CommonOptions, type Session } from './session';
import { showList } from './status';

/** What every command takes; all other options say what to do with a migration. */
const ASKS_NOTHING = ['json', 'connections'];

/**
 * The action of a command that operates one migration. Without an ID there is nothing to operate on: it lists the migrations.
 * @throws UsageError when options say what to do, and no ID to which migration, so that a script with an empty variable does not end well.
 */
export function onMigration<O extends CommonOptions>(
  operate: (session: Session, id: string, options: O) => Promise<number>, list: (session: Session) => Promise<number> = showList,
): (id: string | undefined, options: O) => Promise<void> {
  return (id, options) => runSession(options, (session) => {
    if (id !== undefined) return operate(session, id, options);
    if (Object.keys(options).some((name) => !ASKS_NOTHING.includes(name))) throw new UsageError('which migration? Name it before the options; npx caravan status lists them');
    return list(session);
  });
}
