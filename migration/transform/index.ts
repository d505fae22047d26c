/** All transforms by name. A transform is added by adding one file and one line here. */
import { MigrationError } from '../errors';
import { concat } from './concat';
import { constant } from './constant';
import { defaultValue } from './default';
import type { TransformDefinition } from './definition';
import { drop } from './drop';
import { hash } from './hash';
import { lower } from './lower';
import { mapValues } from './map-values';
import { mask } from './mask';
import { rename } from './rename';
import { split } from './split';
import { toBoolean } from './to-boolean';
import { toDate } from './to-date';
import { toDecimal } from './to-decimal';
import { toFloat } from './to-float';
import { toInteger } from './to-integer';
import { toIsoDatetime } from './to-iso-datetime';
import { toJson } from './to-json';
import { toText } from './to-text';
import { toTimestamp } from './to-timestamp';
import { toUuid } from './to-uuid';
import { trim } from './trim';
import { upper } from './upper';
import type { UserTransforms } from './user';

export { TransformFailure, type CompiledStep, type StepPlan, type TransformContext, type TransformDefinition } from './definition';
export { defineTransforms, type UserTransform, type UserTransforms } from './user';

/** Transforms by the name plans use. */
export type TransformCatalog = Readonly<Record<string, TransformDefinition>>;

export const builtinTransforms: TransformCatalog = Object.fromEntries([
  rename, drop, defaultValue, constant, toIsoDatetime, toTimestamp, toDate, toInteger, toDecimal, toFloat, toBoolean, toUuid, toJson, toText,
  trim, lower, upper, mapValues, concat, split, hash, mask,
].map((definition) => [definition.name, definition]));

const NAME = /^[a-z][a-z0-9_]*$/;

/** Built-in transforms and the user's. @throws MigrationError `PLAN_INVALID` when a user's transform takes a built-in name or is ill-named. */
export function transformCatalog(userTransforms: UserTransforms = {}): TransformCatalog {
  for (const name of Object.keys(userTransforms)) {
    if (Object.hasOwn(builtinTransforms, name)) {
      throw new MigrationError('PLAN_INVALID', `The transform \`${name}\` is built in: give your own another name.`);
    }
    if (!NAME.test(name)) throw new MigrationError('PLAN_INVALID', `A transform's name is made of small letters, digits and _: \`${name}\` is not.`);
  }
  return { ...builtinTransforms, ...userTransforms };
}
