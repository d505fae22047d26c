import { parseIso } from '../transform/civil-time';
import { decimalParts } from '../transform/decimal-arithmetic';
import { isJson } from '../transform/literal';
import { isHyphenated } from '../transform/uuid-text';
import type { ValueKind } from '../value';
import { cannotJudge, passNull, type RuleCheck, type RuleDefinition } from './definition';
import { isEmail, isEmailBytes } from './email';
import { isIpv4, isIpv6 } from './ip-address';
import { isUrl } from './url';

export type FormatName = 'email' | 'datetime' | 'date' | 'uuid' | 'url' | 'integer' | 'decimal' | 'ipv4' | 'ipv6' | 'json';

function isInteger(text: string): boolean {
  const first = text.charCodeAt(0);
  const from = first === 45 || first === 43 ? 1 : 0;
  for (let i = from; i < text.length; i += 1) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return false;
  return text.length > from;
}

/** How each format judges a text, and the kinds that fulfil it by themselves. */
const FORMATS: Record<FormatName, { judge: (text: string) => boolean; kinds: readonly ValueKind[]; checkBytes?: RuleCheck['checkBytes'] }> = {
  email: { judge: isEmail, kinds: [], checkBytes: isEmailBytes },
  datetime: { judge: (text) => text.length > 10 && parseIso(text, true) !== null, kinds: ['instant', 'datetime'] },
  date: { judge: (text) => text.length === 10 && parseIso(text) !== null, kinds: ['date'] },
  uuid: { judge: isHyphenated, kinds: ['uuid'] },
  url: { judge: isUrl, kinds: [] },
  integer: { judge: isInteger, kinds: ['integer'] },
  decimal: { judge: (text) => decimalParts(text) !== null, kinds: ['integer', 'decimal', 'float'] },
  ipv4: { judge: isIpv4, kinds: [] },
  ipv6: { judge: isIpv6, kinds: [] },
  json: { judge: isJson, kinds: ['json'] },
};

export const formats: RuleDefinition<FormatName> = {
  name: 'formats',
  help: 'The text has a known format; columns of the matching type fulfil it by themselves.',
  params: '`column: email | datetime | date | uuid | url | integer | decimal | ipv4 | ipv6 | json`',
  scope: 'row',
  compile(format, column) {
    const { judge, kinds, checkBytes } = FORMATS[format];
    if (kinds.includes(column.kind)) return null;
    if (column.kind !== 'text' && column.kind !== 'opaque') cannotJudge(`a ${column.type} column cannot have the format \`${format}\`: formats judge text.`);
    return { check: passNull((value) => judge(value as string)), ...(checkBytes ? { checkBytes } : {}) };
  },
};
